"""Stream payloads: the SDK reads every one, and the deltas add up to the final objects."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from openai.lib.streaming._deltas import accumulate_delta
from openai.types.beta import AssistantStreamEvent
from pydantic import TypeAdapter

from localassist.schemas import events
from localassist.schemas.base import WireModel
from localassist.schemas.messages import Message
from localassist.schemas.run_steps import RunStep, RunStepStatus
from localassist.schemas.runs import Run, RunStatus
from localassist.schemas.threads import Thread

STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(AssistantStreamEvent)
NAMES = {
    value
    for name, value in vars(events).items()
    if name.isupper() and isinstance(value, str) and name != "DONE_DATA"
}


def sdk_names() -> set[str]:
    models = get_args(get_args(AssistantStreamEvent)[0])
    return {get_args(model.model_fields["event"].annotation)[0] for model in models}


def read(name: str, data: dict[str, Any]) -> Any:
    return STREAM_EVENT.validate_python({"event": name, "data": data}, strict=True)


def test_names_are_the_sdks_and_done() -> None:
    assert NAMES == sdk_names() | {"done"}


def test_every_status_has_its_event() -> None:
    assert {events.run_event_name(status) for status in get_args(RunStatus)} < NAMES
    assert {events.step_event_name(status) for status in get_args(RunStepStatus)} < NAMES
    assert events.RUN_REQUIRES_ACTION not in events.TERMINAL_RUN_EVENTS
    assert len(events.CLOSING_EVENTS) == 6


def test_objects_travel_in_their_events(
    thread: Thread, run: Run, step: RunStep, message: Message
) -> None:
    carried: list[tuple[str, WireModel]] = [
        (events.THREAD_CREATED, thread),
        (events.RUN_REQUIRES_ACTION, run),
        (events.STEP_COMPLETED, step),
        (events.MESSAGE_COMPLETED, message),
    ]
    for name, sample in carried:
        assert read(name, sample.dump()).data.id == sample.dump()["id"]


def accumulated(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[Any, Any] = {}
    for delta in deltas:
        total = accumulate_delta(total, delta)
    return total


def without_index(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_index(inner) for key, inner in value.items() if key != "index"}
    if isinstance(value, list):
        return [without_index(inner) for inner in value]
    return value


def test_message_deltas_add_up(message: Message) -> None:
    image, text = (part.model_dump() for part in message.content[:2])
    citation, path = text["text"]["annotations"]
    mark, target = citation["text"], path["text"]
    payloads = [
        events.message_delta(
            "msg_1", events.image_file(0, image["image_file"]["file_id"]), events.first_text(1)
        ),
        events.message_delta("msg_1", events.more_text(1, "See ")),
        events.message_delta("msg_1", events.more_text(1, mark, [events.indexed(0, citation)])),
        events.message_delta("msg_1", events.more_text(1, f" and {target}")),
        events.message_delta("msg_1", events.more_text(1, "", [events.indexed(1, path)])),
        events.message_delta("msg_1", events.refusal(2, "No.")),
    ]
    for payload in payloads:
        read(events.MESSAGE_DELTA, payload)
    content = without_index(accumulated([payload["delta"] for payload in payloads]))["content"]
    assert content == [
        {"type": "image_file", "image_file": {"file_id": "file-3"}},
        text,
        {"type": "refusal", "refusal": "No."},
    ]


def test_step_deltas_add_up(step: RunStep) -> None:
    payloads = [
        events.step_delta("step_1", events.first_code(0, "call_1")),
        events.step_delta("step_1", events.more_code(0, "1 ")),
        events.step_delta("step_1", events.more_code(0, "+ 1")),
        events.step_delta("step_1", events.code_logs(0, 0, "2")),
        events.step_delta("step_1", events.code_image(0, 1, "file-1")),
        events.step_delta("step_1", events.file_search(1, "call_2")),
        events.step_delta("step_1", events.first_function(2, "call_3", "weather")),
        events.step_delta("step_1", events.more_arguments(2, "{")),
        events.step_delta("step_1", events.more_arguments(2, "}")),
    ]
    for payload in payloads:
        read(events.STEP_DELTA, payload)
        assert "id" not in payload["delta"]
    details = without_index(accumulated([payload["delta"] for payload in payloads]))
    expected = step.dump()["step_details"]
    # Results of a search come with the completed step only.
    expected["tool_calls"][1]["file_search"] = {}
    assert details["step_details"] == expected


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        (
            events.first_text(0, "He"),
            {"index": 0, "type": "text", "text": {"value": "He", "annotations": []}},
        ),
        (events.more_text(0, "llo"), {"index": 0, "type": "text", "text": {"value": "llo"}}),
        (
            events.first_function(0, "call_1", "f"),
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "f", "arguments": "", "output": None},
            },
        ),
        (
            events.file_search(0, "call_1"),
            {"index": 0, "id": "call_1", "type": "file_search", "file_search": {}},
        ),
    ],
)
def test_fragments_are_the_contracts(fragment: dict[str, Any], expected: dict[str, Any]) -> None:
    assert fragment == expected
