"""What the model saw and said in a thread, out of what the API shows of it. Pure.

Calls of functions and what the caller answered stand before the message that the run wrote from
them. Calls of tools of ours are left out: what they found was for their own run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localassist.schemas.messages import FilePath, Message, TextContent
from localassist.schemas.run_steps import FunctionToolCall, MessageCreationDetails, RunStep
from localassist.schemas.runs import Run
from localassist.storage.imports import NewItem

_SANDBOX = "sandbox:/mnt/data/"


def items_of(
    messages: Sequence[Message], runs: Sequence[Run], steps: Sequence[RunStep]
) -> list[NewItem]:
    """The thread's items. All lists are oldest first."""
    before: dict[str, list[NewItem]] = {}
    late: list[tuple[int, list[NewItem]]] = []
    present = {message.id for message in messages}
    steps_of: dict[str, list[RunStep]] = {}
    for step in steps:
        steps_of.setdefault(step.run_id, []).append(step)
    for run in runs:
        waiting: list[NewItem] = []
        at = run.created_at
        for step in steps_of.get(run.id, ()):
            details = step.step_details
            if not isinstance(details, MessageCreationDetails):
                waiting += _calls(step)
                at = step.created_at
            elif details.message_creation.message_id in present:
                message_id = details.message_creation.message_id
                before[message_id] = before.get(message_id, []) + waiting
                waiting = []
        if waiting:  # no message has come of them
            late.append((at, waiting))
    found: list[NewItem] = []
    for message in messages:
        while late and late[0][0] < message.created_at:
            found += late.pop(0)[1]
        found += before.get(message.id, [])
        run_id = message.run_id if message.role == "assistant" else None
        found.append(NewItem("message", run_id, message.id))
    return [*found, *(item for _, items in late for item in items)]


def written_files(messages: Sequence[Message]) -> dict[str, str]:
    """Files that code of the thread has written, the newest by path, from the links to them."""
    found: dict[str, str] = {}
    for message in messages:
        for part in message.content:
            for annotation in part.text.annotations if isinstance(part, TextContent) else ():
                path = annotation.text.removeprefix(_SANDBOX)
                is_link = isinstance(annotation, FilePath) and path != annotation.text
                if is_link and _is_plain(path):
                    assert isinstance(annotation, FilePath)
                    found[path] = annotation.file_path.file_id
    return found


def _is_plain(path: str) -> bool:
    steps = path.split("/")
    return len(path) <= 1024 and "\0" not in path and not {"", ".", ".."} & set(steps)


def _calls(step: RunStep) -> Iterator[NewItem]:
    """A step's calls of functions, if they were answered."""
    details = step.step_details
    assert not isinstance(details, MessageCreationDetails)
    made = [call for call in details.tool_calls if isinstance(call, FunctionToolCall)]
    answered = [call for call in made if call.function.output is not None]
    if not answered or len(answered) < len(made):
        return
    calls = [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in made
    ]
    yield NewItem("calls", step.run_id, None, {"calls": calls, "said_in": None})
    for call in made:
        payload = {
            "call_id": call.id,
            "name": call.function.name,
            "output": call.function.output,
        }
        yield NewItem("output", step.run_id, None, payload)
