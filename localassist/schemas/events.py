"""Run events: their names, the record that travels, and the delta payloads.

The builders return plain dicts because a delta is never read back as an object: clients add the
fragments up. Two rules shape them: scalars go out once, and every list entry carries its ``index``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Payload = dict[str, Any]

THREAD_CREATED: Final = "thread.created"
RUN_CREATED: Final = "thread.run.created"
RUN_QUEUED: Final = "thread.run.queued"
RUN_IN_PROGRESS: Final = "thread.run.in_progress"
RUN_REQUIRES_ACTION: Final = "thread.run.requires_action"
RUN_CANCELLING: Final = "thread.run.cancelling"
RUN_CANCELLED: Final = "thread.run.cancelled"
RUN_FAILED: Final = "thread.run.failed"
RUN_COMPLETED: Final = "thread.run.completed"
RUN_INCOMPLETE: Final = "thread.run.incomplete"
RUN_EXPIRED: Final = "thread.run.expired"
STEP_CREATED: Final = "thread.run.step.created"
STEP_IN_PROGRESS: Final = "thread.run.step.in_progress"
STEP_DELTA: Final = "thread.run.step.delta"
STEP_COMPLETED: Final = "thread.run.step.completed"
STEP_FAILED: Final = "thread.run.step.failed"
STEP_CANCELLED: Final = "thread.run.step.cancelled"
STEP_EXPIRED: Final = "thread.run.step.expired"
MESSAGE_CREATED: Final = "thread.message.created"
MESSAGE_IN_PROGRESS: Final = "thread.message.in_progress"
MESSAGE_DELTA: Final = "thread.message.delta"
MESSAGE_COMPLETED: Final = "thread.message.completed"
MESSAGE_INCOMPLETE: Final = "thread.message.incomplete"
ERROR: Final = "error"
DONE: Final = "done"
# The data of ``done`` is not JSON.
DONE_DATA: Final = "[DONE]"

TERMINAL_RUN_EVENTS: Final = frozenset(
    {RUN_COMPLETED, RUN_INCOMPLETE, RUN_FAILED, RUN_CANCELLED, RUN_EXPIRED}
)
# After one of these a stream has nothing more to say.
CLOSING_EVENTS: Final = TERMINAL_RUN_EVENTS | {RUN_REQUIRES_ACTION}


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One entry of a run's log; ``seq`` counts from 0 within the run."""

    seq: int
    name: str
    data: Payload


def run_event_name(status: str) -> str:
    return f"thread.run.{status}"


def step_event_name(status: str) -> str:
    return f"thread.run.step.{status}"


# --- messages ---------------------------------------------------------------------------------


def message_delta(message_id: str, *content: Payload) -> Payload:
    """Data of ``thread.message.delta``; at most one fragment per part index."""
    return {"id": message_id, "object": MESSAGE_DELTA, "delta": {"content": list(content)}}


def first_text(index: int, value: str = "", annotations: Sequence[Payload] = ()) -> Payload:
    """The fragment that opens text part ``index``; only it may carry an empty annotation list."""
    text = {"value": value, "annotations": list(annotations)}
    return {"index": index, "type": "text", "text": text}


def more_text(index: int, value: str, annotations: Sequence[Payload] = ()) -> Payload:
    """Text to append, with any annotations whose marker is in it."""
    text: Payload = {"value": value}
    if annotations:
        text["annotations"] = list(annotations)
    return {"index": index, "type": "text", "text": text}


def indexed(index: int, entry: Mapping[str, Any]) -> Payload:
    """A dumped list entry (an annotation, an output) as it appears inside a delta."""
    return {"index": index, **entry}


def image_file(index: int, file_id: str) -> Payload:
    return {"index": index, "type": "image_file", "image_file": {"file_id": file_id}}


def refusal(index: int, text: str) -> Payload:
    return {"index": index, "type": "refusal", "refusal": text}


# --- run steps --------------------------------------------------------------------------------


def step_delta(step_id: str, *tool_calls: Payload) -> Payload:
    """Data of ``thread.run.step.delta``; at most one fragment per call index."""
    details = {"type": "tool_calls", "tool_calls": list(tool_calls)}
    return {"id": step_id, "object": STEP_DELTA, "delta": {"step_details": details}}


def first_function(index: int, call_id: str, name: str) -> Payload:
    """Opens a call. Arguments follow: clients fire no delta callback for this fragment."""
    function = {"name": name, "arguments": "", "output": None}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def more_arguments(index: int, arguments: str) -> Payload:
    return {"index": index, "type": "function", "function": {"arguments": arguments}}


def first_code(index: int, call_id: str) -> Payload:
    code: Payload = {"input": "", "outputs": []}
    return {"index": index, "id": call_id, "type": "code_interpreter", "code_interpreter": code}


def more_code(index: int, code: str) -> Payload:
    return {"index": index, "type": "code_interpreter", "code_interpreter": {"input": code}}


def code_logs(index: int, output_index: int, logs: str) -> Payload:
    return _code_output(index, {"index": output_index, "type": "logs", "logs": logs})


def with_logs_of(delta: Payload, step_id: str, part: Payload) -> Payload | None:
    """A step's delta with the text of ``part`` as well, when both add to the same logs."""
    (before,) = delta["delta"]["step_details"]["tool_calls"]
    old, new = _logs(before), _logs(part)
    if old is None or new is None or delta["id"] != step_id:
        return None
    if (before["index"], old["index"]) != (part["index"], new["index"]):
        return None
    return step_delta(step_id, code_logs(part["index"], new["index"], old["logs"] + new["logs"]))


def _logs(part: Payload) -> Payload | None:
    outputs: list[Payload] = part.get("code_interpreter", {}).get("outputs") or []
    return outputs[0] if outputs and outputs[0]["type"] == "logs" else None


def code_image(index: int, output_index: int, file_id: str) -> Payload:
    return _code_output(
        index, {"index": output_index, "type": "image", "image": {"file_id": file_id}}
    )


def _code_output(index: int, output: Payload) -> Payload:
    code = {"outputs": [output]}
    return {"index": index, "type": "code_interpreter", "code_interpreter": code}


def file_search(index: int, call_id: str) -> Payload:
    """The only fragment of a file search: its results come with the completed step."""
    return {"index": index, "id": call_id, "type": "file_search", "file_search": {}}
