"""What the API could not hold is not imported, and all of it is said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localassist.schemas.assistants import AssistantCreate
from tests.archive import hosted
from tests.archive.conftest import Opened
from tests.archive.moving import load

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

TOO_LONG = "x" * 256_001


def dump(folder: Path, *objects: dict[str, Any]) -> Path:
    path = folder / "dump.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in objects))
    return path


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "x" * 257}, "'name': string too long"),
        ({"description": "x" * 513}, "'description': string too long"),
        ({"instructions": TOO_LONG}, "'instructions': string too long"),
        ({"model": ""}, "'model': empty string"),
        ({"tools": [function(f"f{n}") for n in range(129)]}, "'tools': array too long"),
        ({"tools": [function("same"), function("same")]}, "duplicate function name 'same'"),
        ({"temperature": 2.5}, "'temperature': decimal above maximum"),
        ({"top_p": -1}, "'top_p': decimal below minimum"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "'metadata': too many properties"),
        ({"metadata": {"key": "x" * 513}}, "'metadata.key': string too long"),
        ({"file_ids": [f"file-{n}" for n in range(21)]}, "'file_ids': array too long"),
    ],
)
def test_an_assistant_is_held_to_what_requests_may_ask(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    done = load(tmp_path / "data", dump(tmp_path, hosted.assistant(**fields)), is_dry=True)
    (problem,) = done.problems
    assert problem.startswith(f"dump.jsonl line 1: {hosted.ASSISTANT}: ") and said in problem


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (hosted.message(1, "user", TOO_LONG), "'content[0].text.value': string too long"),
        (hosted.message(1, "user", "x", file_ids=["file-1"] * 11), "'file_ids': array too long"),
        (hosted.run(max_prompt_tokens=1), "'max_prompt_tokens': integer below minimum"),
        (hosted.run(instructions=2 * TOO_LONG), "'instructions': string too long"),
        (hosted.store_file(hosted.FILE, attributes={"a": {"b": 1}}), "'attributes.a': expected"),
        (hosted.store_file(hosted.FILE, attributes={"a": "x" * 513}), "'attributes.a': string"),
    ],
)
def test_so_are_other_objects(tmp_path: Path, made: dict[str, Any], said: str) -> None:
    (problem,) = load(tmp_path / "data", dump(tmp_path, made), is_dry=True).problems
    assert problem.startswith(f"dump.jsonl line 1: {made['id']}: ") and said in problem


def test_what_runs_have_made_may_be_longer(tmp_path: Path) -> None:
    both = f"{'x' * 256_000}\n{'y' * 256_000}"
    path = dump(tmp_path, hosted.answer(3, TOO_LONG), hosted.run(instructions=both))
    assert not load(tmp_path / "data", path).problems


def test_a_dry_run_tells_everything_at_once(tmp_path: Path) -> None:
    wrong = hosted.assistant(name="x" * 300, temperature=9, metadata={"k": "x" * 600})
    texts = [hosted.message(number, "user", TOO_LONG) for number in range(30)]
    done = load(tmp_path / "data", dump(tmp_path, wrong, *texts), is_dry=True)
    assert len(done.problems) == 31
    assert all(f"'{name}'" in done.problems[0] for name in ("name", "temperature", "metadata.k"))


def test_labels_may_be_cut_and_nothing_else(tmp_path: Path, opened: Opened) -> None:
    wrong = hosted.assistant(name="n" * 300, description="d" * 600)
    done = load(tmp_path / "data", dump(tmp_path, wrong), shorten=True)
    assert not done.problems
    assert [note for note in done.notes if "is cut from" in note] == [
        f"dump.jsonl line 1: {hosted.ASSISTANT}: 'name' is cut from 300 characters.",
        f"dump.jsonl line 1: {hosted.ASSISTANT}: 'description' is cut from 600 characters.",
    ]
    with opened(tmp_path / "data") as client:
        assistant = client.beta.assistants.retrieve(hosted.ASSISTANT)
    assert assistant.name == "n" * 255 + "…"
    fields = assistant.to_dict()
    assert AssistantCreate.model_validate({n: fields[n] for n in ("model", "name", "description")})
    done = load(tmp_path / "new", dump(tmp_path, hosted.assistant(instructions=TOO_LONG)))
    assert done.problems


def test_a_file_is_called_as_an_upload_of_its_name_would_be(tmp_path: Path, opened: Opened) -> None:
    file = hosted.file(hosted.FILE, "..\\reports/2024/letter.txt", 5)
    assert not load(tmp_path / "data", dump(tmp_path, file)).problems
    with opened(tmp_path / "data") as client:
        assert client.files.retrieve(hosted.FILE).filename == "letter.txt"
