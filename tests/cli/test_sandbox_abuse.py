"""``localassist sandbox test``."""

from __future__ import annotations

import json

import pytest

from localassist.cli.main import app
from localassist.sandbox.abuse import categories
from localassist.sandbox.abuse.case import Case


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["sandbox", "test", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def two_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (
        Case("held", "do what is not possible", "seccomp", "say('stopped', 'refused')"),
        Case("open", "do what is possible", "seccomp", "say('reached', 'it [worked]')"),
    )
    monkeypatch.setattr(categories, "CATEGORIES", {"made-up": cases})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--category", "none"], "no category none; there are: files, processes,"),
        (["--case", "none"], "no case none"),
        (["--provider", "none"], "There is no provider 'none'"),
    ],
)
def test_wrong_usage(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.sandbox
@pytest.mark.usefixtures("two_cases")
def test_an_attack_that_is_not_blocked_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 1
    shown = capsys.readouterr()
    table = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert table == [
        "case stopped by verdict what was tried, and what came of it",
        "made-up",
        "held seccomp blocked do what is not possible: refused",
        "open seccomp NOT BLOCKED do what is possible: it [worked]",
    ]
    assert "2 attacks: 1 blocked, 1 NOT BLOCKED;" in shown.err


@pytest.mark.sandbox
@pytest.mark.usefixtures("two_cases")
def test_json_of_chosen_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--case", "held", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["case"] == "held" and result["outcome"] == "blocked"
    assert result["detail"] == "refused" and result["without"] is None


@pytest.mark.sandbox
def test_unsafe_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--provider", "unsafe", "--case", "shadow") == 2
    assert "isolates nothing" in " ".join(capsys.readouterr().err.split())
