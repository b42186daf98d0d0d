"""Formats with the embedded model: its vocabulary, its masks, its own words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from localassist.chat.formats import ToolChoice, control_tokens_of, detect
from localassist.chat.prompt import PromptBuilder
from localassist.chat.stream import ArgumentsDelta, CallStarted, TextDelta, TurnEvent
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, SamplingParams, ToolSpec
from localassist.engine import LlamaEngine
from localassist.engine.grammar import validate_grammar
from localassist.engine.request import Generate, Piece
from localassist.tools.grammar import arguments_problem, check_tools
from tests.chat import family_templates as templates
from tests.chat.test_stream import merged
from tests.small_model import small_model

pytestmark = pytest.mark.model

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [ToolSpec("get_weather", "Get the weather of a city", CITY), ToolSpec("ping", "Ping.")]
HISTORY = [ChatMessage("user", "What is the weather in Paris?")]

# Markers that are control tokens of this vocabulary.
TOKENS = templates.chatml(
    "{% for c in m.tool_calls %}<jupyter_start>{{ c.function.name }}<jupyter_code>"
    "{{ c.function.arguments | tojson }}<jupyter_output>{% endfor %}"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with small_model(tmp_path_factory.mktemp("cache")) as loaded:
        yield loaded


SOURCES = {"generic": None, "tokens": TOKENS, **templates.FAMILIES}
TURNS = [(name, "required") for name in SOURCES]
TURNS += [("tokens", "named"), ("generic", "auto"), ("tokens", "auto")]


@pytest.mark.parametrize(("name", "mode"), TURNS)
async def test_every_form_is_written_and_read(engine: LlamaEngine, name: str, mode: str) -> None:
    source = SOURCES[name]
    template = ChatTemplate(source or engine.chat_template, engine.special_tokens)
    form = detect(template, control_tokens_of(engine.tokenize))
    assert bool(form.control_tokens) == (name == "tokens")
    tools = check_tools(TOOLS, validate_grammar)
    choice = ToolChoice(mode, "ping" if mode == "named" else None)  # type: ignore[arg-type]
    prompt = PromptBuilder(engine, template, form, "smollm2").build(HISTORY, tools)
    constraint = form.constraint(tools, choice, parallel=False)
    sampling = SamplingParams(temperature=0.0, max_tokens=120)
    parser = form.parser(tools)
    events: list[TurnEvent] = []
    tokens: list[int] = []
    text = ""
    async for piece in engine.generate(Generate(prompt.token_ids, sampling, constraint)):
        if isinstance(piece, Piece):
            events += parser.feed(piece.text)
            tokens += piece.token_ids
            text += piece.text
    events = merged(events + parser.finish())
    assert engine.detokenize(tokens) == text
    marker = form.control_tokens.get("<jupyter_start>")
    assert marker is None or tokens.count(marker) == text.count("<jupyter_start>")
    names = [event.name for event in events if isinstance(event, CallStarted)]
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert not form.markup.trigger or form.markup.trigger not in shown
    if mode == "auto":
        return
    assert shown == "" and len(names) == 1
    if mode == "named":
        assert names == ["ping"]
    arguments = "".join(event.text for event in events if isinstance(event, ArgumentsDelta))
    [tool] = [tool for tool in tools if tool.name == names[0]]
    json.loads(arguments)
    assert arguments_problem(tool, arguments) is None
