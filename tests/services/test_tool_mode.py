"""How a model is found to call functions, with a scripted model and with the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localassist.chat.template import ChatTemplate
from localassist.engine import ScriptedEngine, validate_grammar
from localassist.engine.request import Generate
from localassist.errors import GenerationFailed
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest
from localassist.runtime import open_runtime
from localassist.services import tool_mode
from localassist.services.models import Models
from localassist.services.tool_mode import PROBE_TOOLS, QUESTIONS, ProbedToolModes
from localassist.settings import load_settings

# ChatML that shows tools and calls; a model was trained on one like it, or was not.
TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Functions:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
To call one, write <tool_call>
{"name": "function", "arguments": {}}
</tool_call><|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

Reply = Callable[[str], str]


@pytest.fixture(autouse=True)
def _room_for_characters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of a scripted model are characters."""
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setattr(tool_mode, "CALL_TOKENS", 8 * tool_mode.CALL_TOKENS)
        monkeypatch.setattr(tool_mode, "ANSWER_TOKENS", 8 * tool_mode.ANSWER_TOKENS)


def call(tool: str, **arguments: Any) -> str:
    body = json.dumps({"name": tool, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


def able(asked: str) -> str:
    """What a model says that was trained to call functions."""
    question = next(q for q in QUESTIONS if q.text in asked)
    if question.tool is None:
        return "Here is what you asked for."
    (argument,) = PROBE_TOOLS[question.tool != PROBE_TOOLS[0].name].parameters["properties"]
    return call(question.tool, **{argument: question.value})


def eager(asked: str) -> str:
    """Calls whatever is asked."""
    question = next(q for q in QUESTIONS if q.text in asked)
    return able(asked) if question.tool is not None else able(QUESTIONS[0].text)


def vague(asked: str) -> str:
    """Sees when a call is wanted and gets its arguments wrong."""
    return able(asked).replace("Lisbon", "here").replace("Oslo", "there").replace("12", "1")


def shy(asked: str) -> str:
    return "I cannot do that."


class Setting:
    """Models over one scripted model of tool mode auto; what it is asked is counted."""

    def __init__(self, home: Path, reply: Reply, template: str | None = TOOL_TEMPLATE) -> None:
        self.home = home
        self.engine = ScriptedEngine(
            default_reply=lambda request: reply(self._asked(request)), chat_template=template
        )
        (home / "models").mkdir(parents=True, exist_ok=True)
        (home / "models" / "odd.toml").write_text(
            f'id = "odd"\nkind = "chat"\nsha256 = "{"0" * 64}"\nsize_bytes = 1\n'
            '[source]\npath = "/nowhere.gguf"\n'
        )

    def _asked(self, request: Generate) -> str:
        return self.engine.detokenize(request.prompt)

    async def mode(self, *, calls_functions: bool = True, turns: int = 1) -> str:
        """The mode of that many turns at once, in a process that has just started."""

        async def load(manifest: ModelManifest) -> ScriptedEngine:
            return self.engine

        async def one(models: Models) -> str:
            async with models.chat("odd", calls_functions=calls_functions) as model:
                assert (model.guided is None) == (model.manifest.tool_mode == "native")
                return model.manifest.tool_mode

        settings = load_settings(self.home, environ={})
        async with open_runtime(settings, engines=load) as runtime:
            modes = await asyncio.gather(*(one(runtime.models) for _ in range(turns)))
        assert len(set(modes)) == 1
        return modes[0]


@pytest.mark.parametrize(
    ("reply", "mode", "asked"),
    [(able, "native", 8), (eager, "guided", 8), (vague, "guided", 4), (shy, "guided", 4)],
)
async def test_a_model_is_native_if_it_calls_well_and_only_when_wanted(
    localassist_home: Path, reply: Reply, mode: str, asked: int
) -> None:
    setting = Setting(localassist_home, reply)
    assert await setting.mode() == mode
    assert len(setting.engine.requests) == asked
    assert all(request.constraint is not None for request in setting.engine.requests)


async def test_one_mistake_of_either_kind_is_forgiven(localassist_home: Path) -> None:
    def nearly(asked: str) -> str:
        if QUESTIONS[0].text in asked:
            return shy(asked)
        return eager(asked) if QUESTIONS[-1].text in asked else able(asked)

    assert await Setting(localassist_home, nearly).mode() == "native"


async def test_turns_at_the_same_time_ask_once(localassist_home: Path) -> None:
    setting = Setting(localassist_home, able)
    assert await setting.mode(turns=5) == "native"
    assert len(setting.engine.requests) == len(QUESTIONS)


async def test_what_was_found_survives_a_restart(localassist_home: Path) -> None:
    setting = Setting(localassist_home, able)
    assert await setting.mode() == await setting.mode() == "native"
    assert len(setting.engine.requests) == len(QUESTIONS)


async def test_a_template_without_tools_is_not_asked(localassist_home: Path) -> None:
    setting = Setting(localassist_home, able, "{% for m in messages %}{{ m.content }}{% endfor %}")
    assert await setting.mode() == "guided"
    assert setting.engine.requests == []


async def test_a_plain_chat_is_not_kept_waiting(localassist_home: Path) -> None:
    setting = Setting(localassist_home, eager)
    assert await setting.mode(calls_functions=False) == "native"
    assert setting.engine.requests == []
    assert await setting.mode() == "guided"
    assert await setting.mode(calls_functions=False) == "guided", "by now it is known"


@pytest.mark.parametrize("mode", ["native", "guided", "none"])
async def test_a_setting_decides_without_asking(
    localassist_home: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    setting = Setting(localassist_home, able)
    (localassist_home / "localassist.toml").write_text(f'[models.tool_mode]\nodd = "{mode}"\n')
    settings = load_settings(localassist_home, environ={})
    assert Catalog(localassist_home, settings.models).get("odd").tool_mode == mode
    assert setting.engine.requests == []


async def test_a_model_that_cannot_be_asked_is_guided_until_the_next_start(
    localassist_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(asked: str) -> str:
        raise GenerationFailed("The engine stumbled.")

    setting = Setting(localassist_home, broken)
    assert await setting.mode(turns=3) == "guided"
    assert "cannot find out how odd calls functions: The engine stumbled." in caplog.text
    assert len(setting.engine.requests) <= len(QUESTIONS), "asked once, not three times"
    setting = Setting(localassist_home, able)
    assert await setting.mode() == "native"


async def test_who_goes_away_leaves_the_question_to_the_next(localassist_home: Path) -> None:
    is_asked = asyncio.Event()

    def noticed(asked: str) -> str:
        is_asked.set()
        return able(asked)

    setting = Setting(localassist_home, noticed)
    modes = ProbedToolModes(localassist_home, validate_grammar)
    template = ChatTemplate(TOOL_TEMPLATE, {})

    async def load(manifest: ModelManifest) -> ScriptedEngine:
        return setting.engine

    settings = load_settings(localassist_home, environ={}, models={"tool_mode": {"odd": "native"}})
    async with (
        open_runtime(settings, engines=load) as runtime,
        runtime.models.chat("odd") as native,
    ):
        first = asyncio.create_task(modes.settle(native, template))
        await is_asked.wait()
        second = asyncio.create_task(modes.settle(native, template))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "native"
        assert first.cancelled()
    assert setting.engine.counters.running == 0


@pytest.mark.model
async def test_the_embedded_model_cannot_write_calls(localassist_home: Path) -> None:
    shipped = Catalog(localassist_home).default("chat")
    forced = shipped.model_copy(
        update={"id": "forced", "chat_template": TOOL_TEMPLATE, "tool_mode": "auto"}
    )
    Catalog(localassist_home)._folder.save(forced)
    async with (
        open_runtime(load_settings(localassist_home)) as runtime,
        runtime.models.chat("forced", calls_functions=True) as model,
    ):
        assert model.manifest.tool_mode == "guided"
    known = json.loads((localassist_home / "cache" / "tool_modes.json").read_text())
    (record,) = known.values()
    assert record["model"] == "forced" and record["mode"] == "guided"
