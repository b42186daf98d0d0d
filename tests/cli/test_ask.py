"""``localassist ask``: one question from a shell."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.client.client import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
Ask = Callable[..., int]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine) -> Ask:
    def run(*arguments: str, piped: str = "") -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
        with pytest.raises(SystemExit) as caught:
            app(["ask", *arguments])
        return int(caught.value.code or 0)

    return run


def prompt_of(engine: ScriptedEngine) -> str:
    return engine.detokenize(engine.requests[-1].prompt)


def test_the_answer_alone_is_on_standard_output(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("What failed?", "--system", "Be brief.", piped="disk full\n") == 0
    assert capsys.readouterr() == ("It is four.\n", "")
    assert "disk full\n\nWhat failed?" in prompt_of(engine)
    assert "Be brief." in prompt_of(engine)
    assert ask(piped="Only piped?") == 0
    assert "Only piped?" in prompt_of(engine)


def test_json_says_everything(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("Paris is the capital of France.")
    arguments = ("What is the capital of France?", "-f", str(tmp_path / "notes.md"), "--json")
    assert ask(*arguments) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (err, told["files"]) == ("", [])
    assert told["answer"].endswith("“Paris is the capital of France.” [1]")
    (cited,) = told["citations"]
    assert (cited["number"], cited["file"]) == (1, "notes.md")
    assert cited["quote"] == "Paris is the capital of France." and 0 < cited["score"] <= 1
    assert told["run_id"].startswith("run_") and told["usage"] and told["seconds"] > 0


def test_an_answer_has_the_form_of_a_schema(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    schema = tmp_path / "a schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}}')
    engine.enqueue('{"n": 4}', '{"n": 5}')
    assert ask("How many?", "--schema", str(schema)) == 0
    assert capsys.readouterr().out == '{"n": 4}\n'
    assert engine.requests[-1].constraint is not None
    assert ask("How many?", "--schema", str(schema), "--json") == 0
    assert json.loads(capsys.readouterr().out)["value"] == {"n": 5}


def test_long_input_is_searched(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{number}: all is well with the machine." for number in range(400)]
    lines[300] = "The capital of France is Paris."
    assert ask("What is the capital of France?", piped="\n".join(lines)) == 0
    out, err = capsys.readouterr()
    assert "The capital of France is Paris." in out and "are searched, not read" in err


def test_a_file_that_cannot_be_read_is_no_answer(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    arguments = ("What is in it?", "-f", str(tmp_path / "broken.pdf"))
    assert ask(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and "broken.pdf: The PDF is damaged" in " ".join(err.split())
    assert ask(*arguments, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == "" and "The PDF is damaged" in told["error"]
    assert not engine.requests


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "There is no question"),
        (("  ",), 2, "There is no question"),
        (("Q", "-f", "nope.md"), 2, "no file nope.md"),
        (("Q", "--schema", "nope.json"), 2, "nope.json"),
        (("Q", "--schema", "bad.json"), 2, "bad.json: this is no JSON"),
        (("Q", "-a", "nobody"), 1, "There is no assistant 'nobody'"),
        (("Q", "--model", "nope"), 1, "'nope' does not exist"),
        (("Q", "--docs", "nowhere"), 2, "There is no folder nowhere"),
    ],
)
def test_what_cannot_work_is_one_line(
    ask: Ask,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    assert ask(*arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("localassist: ") and said in err


def test_a_failed_run_is_said_in_both_forms(
    ask: Ask, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue(GenerationFailed("It broke."), GenerationFailed("It broke."))
    assert ask("Q") == 1
    out, err = capsys.readouterr()
    assert out == "" and "The run failed" in err
    assert ask("Q", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == "" and told["error"].startswith("The run failed")


def test_a_saved_assistant_answers_and_stays_as_it_is(
    ask: Ask, engine: ScriptedEngine, localassist_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalAssist(localassist_home) as client:
        create = client.beta.assistants.create
        desk = create(model="gpt-4o", name="Desk", instructions="Be kind.")
        for _ in range(2):
            create(model="gpt-4o", name="Twin")
    assert ask("Q", "-a", "desk") == 0
    assert "Be kind." in prompt_of(engine)
    assert ask("Q", "-a", desk.id, "--system", "Be rude.") == 0
    assert "Be rude." in prompt_of(engine) and "Be kind." not in prompt_of(engine)
    capsys.readouterr()
    assert ask("Q", "-a", "Twin") == 1
    assert "2 assistants are called 'Twin'; name one by id: asst_" in capsys.readouterr().err
    with LocalAssist(localassist_home) as client:
        assert client.beta.assistants.retrieve(desk.id) == desk
