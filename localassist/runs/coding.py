"""Code of runs: where it is run, what came of it, and how that is stored.

What a run's code has said and shown is stored whole with the thread's items, because later turns of
the run are told of it, also when another process makes them. Knows nothing of models or of the
event log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from localassist.core import ToolCall
from localassist.errors import KernelStartFailed
from localassist.observability import spans
from localassist.sandbox.verdict import Verdict
from localassist.schemas import events as wire
from localassist.schemas.runs import Run
from localassist.services.interpreter import Executed, Interpreter, Printed
from localassist.storage import runs
from localassist.storage.database import Database
from localassist.storage.items import Item
from localassist.tools.code_interpreter.arguments import CodeReader
from localassist.tools.code_interpreter.base import CodeFile, Execution
from localassist.tools.code_interpreter.results import output_text

CODE_INTERPRETER = "code_interpreter"

ShowPart = Callable[[wire.Payload], None]
"""Tells those who watch a fragment of a call."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a run's code is run, if ``verdict`` allows it: in the thread's kernel, with these files
    and within these limits. ``files`` are what code could find there when work on the run began."""

    project: str
    thread_id: str
    verdict: Verdict
    file_ids: tuple[str, ...] = ()
    files: tuple[CodeFile, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """Code that was run. ``outputs`` are its logs and images as a step shows them, in the order in
    which they came."""

    execution: Execution
    outputs: tuple[Mapping[str, Any], ...] = ()

    tool: ClassVar[str] = CODE_INTERPRETER

    def step_call(self, call_id: str) -> dict[str, Any]:
        """The call as a run step shows it."""
        code = {"input": self.execution.code, "outputs": [dict(one) for one in self.outputs]}
        return {"id": call_id, "type": CODE_INTERPRETER, CODE_INTERPRETER: code}

    def payload(self) -> dict[str, Any]:
        """The execution as its output item keeps it."""
        made = self.execution
        return {
            "code": made.code,
            "ending": made.ending,
            "logs": made.logs,
            "images": list(made.images),
            "files": dict(made.files),
        }


def code_in(call: ToolCall) -> str:
    """The code that a model has written, just as it was shown while it was written."""
    return CodeReader().feed(call.arguments)


def ran_text(payload: Mapping[str, Any]) -> str:
    """What the model is shown of code that was run."""
    return output_text(_loaded(payload))


def executions_of(items: Sequence[Item], run_id: str) -> list[Execution]:
    """What the run has run so far, oldest first."""
    return [_loaded(item.payload) for item in items if _is_output(item, run_id)]


def unseen_images(items: Sequence[Item], run_id: str) -> tuple[str, ...]:
    """Files of the images that code of the run has shown since the run's last message."""
    images: list[str] = []
    for item in items:
        if item.kind == "message" and item.run_id == run_id:
            images.clear()
        elif _is_output(item, run_id):
            images += item.payload["images"]
    return tuple(images)


def _is_output(item: Item, run_id: str) -> bool:
    is_own = item.kind == "output" and item.run_id == run_id
    return is_own and item.payload.get("built_in") == CODE_INTERPRETER


def _loaded(payload: Mapping[str, Any]) -> Execution:
    images = tuple(payload["images"])
    return Execution(payload["code"], payload["ending"], payload["logs"], images, payload["files"])


class Coding:
    """Runs the code of runs; one instance serves all of a process."""

    def __init__(self, database: Database, interpreter: Interpreter) -> None:
        self._database = database
        self._interpreter = interpreter

    async def workplace(self, project: str, run: Run, limits: Mapping[str, float]) -> Workplace:
        """Where the run's code is run, and whether it can be run at all. ``limits`` are wanted ones
        below the operator's."""
        verdict = await self._interpreter.verdict()
        place = Workplace(project, run.thread_id, verdict, limits=limits)
        if not verdict.ok:
            return place
        own = run.tool_resources.dump()
        file_ids = await self._database.read(
            lambda session: runs.code_file_ids(
                session, project, run.assistant_id, run.thread_id, own
            )
        )
        files = await self._interpreter.files(project, run.thread_id, file_ids)
        return replace(place, file_ids=tuple(file_ids), files=tuple(files))

    def prepare(self, place: Workplace) -> None:
        """Code is about to come: have a kernel ready for it."""
        self._interpreter.prepare(place.thread_id, place.limits)

    async def run(self, place: Workplace, code: str, index: int, show: ShowPart) -> Ran:
        """Run the code of the call that has this index in its step, and show what comes of it as it
        comes. Cancelled, it interrupts the code. Raises SandboxUnavailable and KernelStartFailed.
        """
        outputs: list[dict[str, Any]] = []
        items = self._interpreter.execute(
            place.project, place.thread_id, code, file_ids=place.file_ids, wanted=place.limits
        )
        with spans.measured(CODE_INTERPRETER):
            async with aclosing(items):
                async for item in items:
                    if isinstance(item, Executed):
                        return Ran(item.execution, tuple(outputs))
                    if isinstance(item, Printed):
                        at = _add_logs(outputs, item.text)
                        show(wire.code_logs(index, at, item.text))
                    else:
                        outputs.append({"type": "image", "image": {"file_id": item.file_id}})
                        show(wire.code_image(index, len(outputs) - 1, item.file_id))
        raise KernelStartFailed("The kernel has not said how the code ended.")


def _add_logs(outputs: list[dict[str, Any]], text: str) -> int:
    """Text between two images is one output, which grows; returns its place."""
    if outputs and outputs[-1]["type"] == "logs":
        outputs[-1]["logs"] += text
    else:
        outputs.append({"type": "logs", "logs": text})
    return len(outputs) - 1
