"""What can be told of an unfinished message or step from its deltas in the log."""

from __future__ import annotations

from typing import Any

from localassist.engine import ScriptedEngine
from localassist.schemas import events as wire
from localassist.storage import run_events
from localassist.storage.run_events import NewEvent
from localassist.storage.tables import RunRow
from tests.runs.conftest import OpenRuntime, begin

MARK = {
    "type": "file_citation",
    "text": "【1:0†source】",
    "start_index": 2,
    "end_index": 14,
    "file_citation": {"file_id": "file-1", "quote": "q"},
}
PATH = {
    "type": "file_path",
    "text": "sandbox:/mnt/data/a",
    "start_index": 15,
    "end_index": 34,
    "file_path": {"file_id": "file-2"},
}


def calls(*parts: Any) -> NewEvent:
    return NewEvent(wire.STEP_DELTA, wire.step_delta("step_1", *parts))


def said(parts: list[Any], *token_ids: int) -> NewEvent:
    return NewEvent(wire.MESSAGE_DELTA, wire.message_delta("msg_1", *parts), token_ids)


async def test_texts_and_calls_add_up(open_scripted: OpenRuntime) -> None:
    image = wire.code_image(1, 1, "file-3")
    logged = [
        calls(wire.file_search(0, "call_a")),
        calls(wire.first_code(1, "call_b")),
        calls(wire.more_code(1, "print")),
        calls(wire.more_code(1, "(4)"), wire.first_function(2, "call_c", "f")),
        calls(wire.code_logs(1, 0, "4")),
        calls(wire.code_logs(1, 0, "2\n")),
        calls(image, wire.more_arguments(2, "{}")),
        calls(wire.code_logs(1, 2, "more")),
        said([wire.image_file(0, "file-3"), wire.first_text(1, "A")], 7),
        said([wire.more_text(1, " 【1:0†source】", [wire.indexed(0, MARK)])]),
        said([wire.more_text(1, " ")], 8, 9),
        said([wire.more_text(1, PATH["text"], [wire.indexed(1, PATH)])]),
    ]

    def change(session: Any) -> Any:
        row = session.query(RunRow).one()
        first = run_events.append(session, row, logged)[0].seq
        session.flush()
        made = run_events.streamed_calls(session, row.id, "step_1")
        text = run_events.streamed_text(session, row.id, "msg_1")
        read = run_events.read(session, row.id, first - 1)
        return made, text, [event.data for event in read]

    async with open_scripted(ScriptedEngine("Hello.", model_id="scripted")) as runtime:
        await (await begin(runtime)).finish()
        made, text, stored = await runtime.runs._database.write(change)
    assert made == [
        {"id": "call_a", "type": "file_search", "file_search": {}},
        {
            "id": "call_b",
            "type": "code_interpreter",
            "code_interpreter": {
                "input": "print(4)",
                "outputs": [
                    {"type": "logs", "logs": "42\n"},
                    {"type": "image", "image": {"file_id": "file-3"}},
                    {"type": "logs", "logs": "more"},
                ],
            },
        },
        {
            "id": "call_c",
            "type": "function",
            "function": {"name": "f", "arguments": "{}", "output": None},
        },
    ]
    assert text.text == "A 【1:0†source】 sandbox:/mnt/data/a"
    assert text.token_ids == (7, 8, 9) and text.annotations == (MARK, PATH)
    assert text.images == ("file-3",)
    assert stored == [event.data for event in logged]  # reading has changed nothing
