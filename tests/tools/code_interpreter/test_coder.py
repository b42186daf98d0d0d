from __future__ import annotations

import random

import pytest

from localassist.engine.request import Generate
from localassist.engine.scripted import ScriptedEngine
from localassist.tools.code_interpreter.base import CodeFile, Execution
from tests.tools.code_interpreter.asking import BASEBALL, SALES, coder, said, write
from tests.tools.walks import walk

FUNCTION = "Write a function that returns the n-th triangular number."
CELL = "def triangular(n):\n    return n * (n + 1) // 2\n\nprint(triangular(4))\n"


@pytest.mark.parametrize(
    ("message", "files"),
    [
        ("x = 41", []),
        ("x + 1", []),
        ("What is 123456 * 789?", []),
        (FUNCTION, []),
        ("Visualize the distribution of WAR across players in the data set.", [BASEBALL]),
        ("What is the average price by region?", [SALES]),
        ("Generate a csv file with three random numbers", []),
        ("Plot y = x^2 from 0 to 10", []),
        ("How many seconds are in 3 days?", []),
        ("Was ist der Mittelwert von price?", [SALES]),
    ],
)
async def test_code_is_wanted(message: str, files: list[CodeFile]) -> None:
    decision = await coder(ScriptedEngine()).decide(said(message), files)
    assert decision.is_wanted, decision.evidence


@pytest.mark.parametrize(
    ("message", "files"),
    [
        ("Hello!", []),
        ("Thanks a lot!", [SALES]),
        ("Who wrote Dracula?", []),
        ("What is a prime number?", []),
        ("Write a short story about a program that falls in love.", []),
        ("What does CSV stand for?", []),
        ("", []),
    ],
)
async def test_code_is_not_wanted(message: str, files: list[CodeFile]) -> None:
    decision = await coder(ScriptedEngine()).decide(said(message), files)
    assert not decision.is_wanted, decision.evidence


async def test_code_that_is_demanded_is_wanted() -> None:
    assert (await coder(ScriptedEngine()).decide(said("Hello!"), demanded=True)).is_wanted


async def test_the_users_code_is_run_as_it_is_and_once() -> None:
    engine = ScriptedEngine()
    pieces, written = await write(coder(engine), said("x = 41", "x + 1"))
    assert written.code == "x + 1\n"
    failed = Execution(written.code, "error", "NameError: name 'x' is not defined")
    assert (await write(coder(engine), said("x + 1"), after=[failed]))[1].code == ""
    assert written.usage.total_tokens == 0


async def test_a_worked_form_asks_no_model() -> None:
    pieces, written = await write(coder(ScriptedEngine()), said("Plot WAR"), BASEBALL)
    assert 'df["WAR"]' in written.code
    assert len(pieces) > 5


async def test_a_follow_up_changes_what_was_asked() -> None:
    messages = said("What is the average price by region?", "And what about the median?")
    assert ".median()" in (await write(coder(ScriptedEngine()), messages, SALES))[1].code


@pytest.mark.parametrize("question", ["How strong is Goku?", "What is the capital of France?"])
async def test_another_question_does_not_repeat_what_was_computed(question: str) -> None:
    messages = said("What is 2 + 3 * 4?", question)
    assert not (await coder(ScriptedEngine()).decide(messages)).is_wanted


@pytest.mark.parametrize("question", ["And again?", "And in binary, 14 in binary?"])
async def test_what_does_go_on_is_computed(question: str) -> None:
    messages = said("What is 2 + 3 * 4?", question)
    assert (await coder(ScriptedEngine()).decide(messages)).is_wanted


async def test_the_model_writes_what_no_form_fits() -> None:
    pieces, written = await write(coder(ScriptedEngine(CELL)), said(FUNCTION))
    assert written.code == CELL
    assert written.usage.completion_tokens > 0
    assert len(pieces) > 1


async def test_what_breaks_off_is_closed() -> None:
    engine = ScriptedEngine(f"{CELL}x = print(", CELL)
    assert (await write(coder(engine), said(FUNCTION)))[1].code == CELL


async def test_a_failed_cell_is_mended_by_its_traceback() -> None:
    failed = Execution("np.sqrt(4)\n", "error", "NameError: name 'np' is not defined")
    _, written = await write(coder(ScriptedEngine()), said(FUNCTION), after=[failed])
    assert written.code == "import numpy as np\nnp.sqrt(4)\n"


async def test_what_cannot_be_mended_is_written_anew_and_never_the_same() -> None:
    failed = Execution(CELL, "error", "Traceback\nRecursionError: too deep")
    other = "print(10)\n"
    engine = ScriptedEngine(CELL, other)
    _, written = await write(coder(engine), said(FUNCTION), after=[failed])
    assert written.code == other
    shown = engine.detokenize(engine.requests[-1].prompt)
    assert "RecursionError: too deep" in shown


async def test_no_more_is_written_than_is_allowed() -> None:
    failed = Execution(CELL, "error", "Traceback\nRecursionError: too deep")
    engine = ScriptedEngine(default_reply=CELL)
    allowed = len(CELL) + 5
    made = coder(engine).write(said(FUNCTION), executions=[failed], most_tokens=allowed)
    (written,) = [piece async for piece in made if not isinstance(piece, str)]
    assert written.usage.completion_tokens == allowed
    assert [request.sampling.max_tokens for request in engine.requests] == [allowed, 5]


async def test_it_gives_up_when_nothing_new_comes() -> None:
    failed = Execution(CELL, "error", "Traceback\nRecursionError: too deep")
    engine = ScriptedEngine(default_reply=CELL)
    _, written = await write(coder(engine), said(FUNCTION), after=[failed])
    assert written.code == ""


async def test_after_success_there_is_nothing_to_write() -> None:
    done = Execution(CELL, "ok", "10\n")
    assert (await write(coder(ScriptedEngine()), said(FUNCTION), after=[done]))[1].code == ""


@pytest.mark.parametrize("seed", range(8))
async def test_any_model_writes_python(seed: int) -> None:
    draws = random.Random(seed)

    def reply(request: Generate) -> str:
        assert request.constraint is not None
        return walk(request.constraint.grammar, draws) or ""

    engine = ScriptedEngine(default_reply=reply)
    _, written = await write(coder(engine), said("Simulate 10 dice"), SALES)
    compile(written.code, "cell", "exec", flags=0x400)  # the tree only


async def test_nothing_is_made_up_about_a_table() -> None:
    question = said("Tell me something surprising about the rows of this file")
    _, written = await write(coder(ScriptedEngine()), question, SALES)
    assert "describe(" in written.code
