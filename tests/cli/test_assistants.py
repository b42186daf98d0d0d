"""``localassist assistants``: made, seen, changed in options and in an editor, forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.client.assistants import from_toml, saved_assistants, to_toml
from localassist.client.client import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
Call = Callable[..., int]


@pytest.fixture
def assistants(engine: ScriptedEngine) -> Call:
    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            app(["assistants", *arguments])
        return int(caught.value.code or 0)

    return run


def test_an_assistant_is_made_changed_and_forgotten(
    assistants: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "system.txt").write_text("Be kind.\nBe brief.\n")
    arguments = ("--system-file", str(tmp_path / "system.txt"), "--code", "--temperature", "0")
    assert assistants("create", "Help Desk", *arguments) == 0
    assert "localassist chat -a 'Help Desk'" in capsys.readouterr().err
    assert assistants("create", "Help Desk") == 2
    assert assistants("edit", "help desk", "--rename", "Desk", "--no-code", "--search") == 0
    assert assistants("edit", "Help Desk", "--code") == 1
    capsys.readouterr()
    assert assistants("list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["temperature"]) == ("Desk", 0)
    assert found["instructions"] == "Be kind.\nBe brief."
    assert found["tools"] == [{"type": "file_search"}]
    assert assistants("rm", "Desk") == 0 and assistants("rm", found["id"]) == 1
    assert "There is no assistant" in capsys.readouterr().err


def test_an_assistant_of_one_conversation_is_not_among_those_kept(
    pipe: Call, assistants: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipe("Hi") == 0
    capsys.readouterr()
    assert assistants("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert assistants("list", "--all", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_what_was_written_in_the_editor_is_not_lost(
    assistants: Call,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert assistants("create", "Desk", "--system", "Be kind.") == 0
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("VISUAL", raising=False)
    edits = {
        "sed -i s/kind/brief/": (0, "Changed"),
        "true": (0, "Nothing is changed"),
        "sed -i s/model/modle/": (2, "There is no field 'modle'"),
        "sed -i s/=/:/": (2, "This is not valid TOML"),
        "false": (1, "ended with code 1"),
        "no-such-editor": (2, "cannot be started"),
    }
    for editor, (code, said) in edits.items():
        monkeypatch.setenv("EDITOR", editor)
        capsys.readouterr()
        assert assistants("edit", "Desk") == code, editor
        out, err = capsys.readouterr()
        told = " ".join((out + err).split())
        assert said in told
        kept = [name for name in os.listdir(tmp_path) if name.endswith(".toml")]
        assert len(kept) == ("what you wrote is in" in told.lower())
        for name in kept:
            (tmp_path / name).unlink()
    with LocalAssist() as client:
        (found,) = saved_assistants(client)
        assert found.instructions == "Be brief."


@pytest.mark.parametrize(
    "instructions",
    ["", "One.", "One.\nTwo.", "'''\n", "a\n'", '"\\\x7f\x01\r\n', "\n\nfirst", "日本\n\u202e"],
)
def test_text_for_people_reads_back_as_it_was(engine: ScriptedEngine, instructions: str) -> None:
    with LocalAssist() as client:
        made = client.beta.assistants.create(
            model="gpt-4o", name='a "b"', instructions=instructions, temperature=0.5
        )
    assert from_toml(to_toml(made), made) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("temperature = 'hot'", "has the wrong type"),
        ("tools = ['wand']", "There is no tool 'wand'"),
        ("tools = [1]", "There is no tool '1'"),
        ("wand = 1", "There is no field 'wand'"),
    ],
)
def test_what_is_wrong_with_the_text_is_said(engine: ScriptedEngine, line: str, said: str) -> None:
    with LocalAssist() as client:
        made = client.beta.assistants.create(model="gpt-4o")
    with pytest.raises(ConfigError, match=said):
        from_toml(line, made)
