"""What is exported, imported and exported again is the same, whatever it is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.archive import hosted
from tests.archive.moving import export, load

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
METADATA = st.dictionaries(TEXT, TEXT, max_size=3)
SECONDS = st.integers(hosted.AT, hosted.AT + 3)
SCALARS = st.text("abc", max_size=5) | st.integers(-9, 9) | st.floats(-9, 9) | st.booleans()
CALLS = st.fixed_dictionaries(
    {
        "id": st.just("call_1"),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.just("get_weather"), "arguments": TEXT, "output": st.none() | TEXT}
        ),
    }
)
STATUSES = st.sampled_from(["completed", "queued", "requires_action", "expired"])


@st.composite
def talks(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """A thread with messages, a run and its steps, some of it missing."""
    thread_id, run_id = f"thread_{number}", f"run_{number}"
    objects = []
    for place in range(draw(st.integers(0, 4))):
        fields = {
            "id": f"msg_{number}x{place}",
            "thread_id": thread_id,
            "created_at": draw(SECONDS),
            "metadata": draw(METADATA),
            "run_id": draw(st.sampled_from([None, run_id])),
        }
        role = draw(st.sampled_from(["user", "assistant"]))
        objects.append(hosted.message(place, role, draw(TEXT), **fields))
    if draw(st.booleans()):
        of = {"thread_id": thread_id, "created_at": draw(SECONDS)}
        instructions = draw(st.none() | TEXT)
        run = {"id": run_id, "status": draw(STATUSES), "instructions": instructions, **of}
        objects.append(hosted.run(**run))
        details = {"type": "tool_calls", "tool_calls": [draw(CALLS)]}
        step = {"id": f"step_{number}", "run_id": run_id, "completed_at": None, **of}
        objects.append(hosted.step(1, details, **step))
    return objects


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = [hosted.assistant(name=draw(st.none() | TEXT), metadata=draw(METADATA))]
    for number in range(draw(st.integers(1, 3))):
        made += draw(talks(number))
    for number in range(draw(st.integers(0, 2))):
        file_id = f"file-{number}"
        made.append(hosted.file(file_id, f"{number}.txt", number))
        attributes = draw(st.dictionaries(st.text("abc", max_size=5), SCALARS, max_size=3))
        made.append(hosted.store_file(file_id, attributes=attributes))
    return list(draw(st.permutations(made)))


def objects_of(path: Path) -> dict[str, list[Any]]:
    """All objects by the file they are in, but for what counts as a use of a store."""
    found: dict[str, list[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".jsonl"):
                found[name] = [json.loads(line) for line in archive.read(name).splitlines()]
    for store in found.get("vector_stores.jsonl", ()):
        store["last_active_at"] = store["expires_at"] = 0
    return found


@settings(
    max_examples=5, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
@given(objects=graphs(), contents=st.lists(st.binary(max_size=9), max_size=2))
def test_export_import_export(objects: list[dict[str, Any]], contents: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dump").mkdir()
        (folder / "dump" / "all.json").write_text(json.dumps(objects))
        for number, content in enumerate(contents):
            (folder / "dump" / f"file-{number}.txt").write_bytes(content)
        done = load(folder / "a", folder / "dump")
        assert not done.problems, done.problems
        export(folder / "a", folder / "a.zip")
        done = load(folder / "b", folder / "a.zip")
        assert not done.problems, done.problems
        export(folder / "b", folder / "b.zip")
        assert objects_of(folder / "a.zip") == objects_of(folder / "b.zip")
        given_ids = {one["id"] for one in objects}
        kept = objects_of(folder / "b.zip").values()
        assert given_ids <= {one.get("id") for group in kept for one in group}
