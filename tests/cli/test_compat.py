from __future__ import annotations

import json
from typing import Any

import pytest

from localassist.cli.main import app
from localassist.server.compatibility import report


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["compat", *arguments])
    return int(caught.value.code or 0)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert run(*arguments, "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_everything_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    shown = capsys.readouterr().out
    assert all(endpoint.name.split(" ")[0] in shown for endpoint in report())
    assert "parallel_tool_calls" in shown and "](" not in shown


def test_one_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    (endpoint,) = rows(capsys, "post /embeddings")
    said = {parameter["name"]: parameter["status"] for parameter in endpoint["parameters"]}
    assert said == {
        "input": "differs",
        "model": "differs",
        "encoding_format": "yes",
        "dimensions": "differs",
        "user": "differs",
    }


@pytest.mark.parametrize("only", ["differs", "no", "ours"])
def test_a_part_of_everything(capsys: pytest.CaptureFixture[str], only: str) -> None:
    found = rows(capsys, "--only", only)
    assert found
    for endpoint in found:
        has_status = [item["status"] == only for item in endpoint["parameters"]]
        assert endpoint["status"] == only or (has_status and all(has_status))


def test_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("/responses") == 1
    assert "Nothing like that: /responses." in capsys.readouterr().err


def test_every_status_is_used() -> None:
    """Among endpoints and parameters alike, so that no column of the page is empty."""
    assert {endpoint.status for endpoint in report()} == {"yes", "differs", "no", "ours"}
