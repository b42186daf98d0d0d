"""The coder with the embedded model; without an embedder."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from localassist.chat.formats import FORMATS
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.tools.code_interpreter import Coder
from localassist.tools.code_interpreter.base import Execution
from tests.small_model import small_model
from tests.tools.code_interpreter.asking import SALES, printed, said, write

pytestmark = [pytest.mark.model, pytest.mark.timeout(400)]  # of a busy machine

# No form has these.
TRIANGULAR = "Write a function that returns the n-th triangular number."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coder]:
    with small_model(tmp_path_factory.mktemp("cache")) as engine:
        template = ChatTemplate(engine.chat_template, engine.special_tokens)
        yield Coder(engine, PromptBuilder(engine, template, FORMATS["plain"], engine.model_id))


async def test_a_function_is_written_called_and_runs(model: Coder) -> None:
    _, written = await write(model, said(TRIANGULAR))
    assert any(isinstance(node, ast.FunctionDef) for node in ast.parse(written.code).body)
    assert printed(written.code).strip()
    assert written.usage.completion_tokens > 10


async def test_the_worked_examples_are_prefilled_once(model: Coder) -> None:
    await write(model, said(TRIANGULAR))
    _, written = await write(model, said("Write a function that doubles a number."))
    assert written.usage.prompt_tokens - written.usage.cached_tokens < 60


async def test_a_second_try_is_another_cell_and_python_too(model: Coder) -> None:
    _, first = await write(model, said(TRIANGULAR))
    failed = Execution(first.code, "error", "Traceback\nRecursionError: too deep")
    _, second = await write(model, said(TRIANGULAR), after=[failed])
    assert second.code.strip() != first.code.strip()
    ast.parse(second.code)


@pytest.mark.parametrize(
    "message", ["Who discovered penicillin?", "Tell me about Lisbon.", "I have 2 cats and a dog."]
)
async def test_plain_talk_runs_no_code(model: Coder, message: str) -> None:
    assert not (await model.decide(said(message), [SALES])).is_wanted
