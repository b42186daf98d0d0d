"""A round of tool calls inside a transaction: what its step shows and what the thread keeps of it.

Calls of functions are answered by the caller, those of built-in tools by us; one turn's calls share
a step. Knows nothing of leases, statuses or events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from localassist.core import GeneratedText, ToolCall, Usage
from localassist.errors import InvalidRequest
from localassist.runs.built_ins import Outcome
from localassist.schemas.runs import RunUsage
from localassist.storage import items, run_events
from localassist.storage.database import Session
from localassist.storage.tables import RunRow, RunStepRow
from localassist.tools.metadata import as_metadata


@dataclass(frozen=True, slots=True)
class Round:
    """The calls of one turn. ``outcomes`` are of those that were made by us, by call id.

    ``said_in`` is the message with which the same turn began. ``evidence`` becomes the step's
    metadata, each value as JSON text, cut to what fits.
    """

    calls: tuple[ToolCall, ...]
    generated: GeneratedText
    usage: Usage
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    said_in: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def functions(self) -> tuple[ToolCall, ...]:
        """The calls that the caller has to answer."""
        return tuple(call for call in self.calls if call.id not in self.outcomes)


def store_round(session: Session, row: RunRow, step: RunStepRow, made: Round) -> None:
    """Let the step show the round, and keep it, with what came of it, for the turns that follow."""
    step.usage = RunUsage.of(made.usage).dump()
    step.metadata_ = as_metadata(made.evidence)
    shown, kept = [], []
    for call in made.calls:
        outcome = made.outcomes.get(call.id)
        if outcome is None:
            shown.append(_function(call, output=None))
            kept.append(asdict(call))
        else:
            shown.append(outcome.step_call(call.id))
            kept.append({**asdict(call), "built_in": outcome.tool})
    step.step_details = {"type": "tool_calls", "tool_calls": shown}
    items.append(
        session,
        row.thread_id,
        "calls",
        run_id=row.id,
        generated=made.generated,
        payload={"calls": kept, "said_in": made.said_in},
    )
    for call in made.calls:
        outcome = made.outcomes.get(call.id)
        if outcome is not None:
            named = {"call_id": call.id, "name": call.name, "built_in": outcome.tool}
            payload = {**named, **outcome.payload()}
            items.append(session, row.thread_id, "output", run_id=row.id, payload=payload)


def required_action(made: Round) -> dict[str, Any]:
    """What the caller has to do, in wire form."""
    wanted = [_function(call) for call in made.functions]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": wanted}}


def check_outputs(row: RunRow, given: Sequence[str]) -> None:
    assert row.required_action is not None
    wanted = [c["id"] for c in row.required_action["submit_tool_outputs"]["tool_calls"]]
    if sorted(given) != sorted(wanted):
        raise InvalidRequest(f"Expected tool outputs for call_ids {wanted}, got {list(given)}")


def store_outputs(
    session: Session, row: RunRow, step: RunStepRow, outputs: Mapping[str, str]
) -> None:
    """Answer the functions of a step of tool calls."""
    answered = []
    for call in step.step_details["tool_calls"]:
        if call["type"] != "function":
            answered.append(call)
            continue
        function = {**call["function"], "output": outputs[call["id"]]}
        answered.append({**call, "function": function})
        payload = {
            "call_id": call["id"],
            "name": function["name"],
            "output": function["output"],
        }
        items.append(session, row.thread_id, "output", run_id=row.id, payload=payload)
    step.step_details = {"type": "tool_calls", "tool_calls": answered}


def keep_calls(session: Session, row: RunRow, step: RunStepRow) -> None:
    """Let a step that ends in the middle of its calls show what readers have seen of them."""
    if not step.step_details["tool_calls"]:
        calls = run_events.streamed_calls(session, row.id, step.id)
        step.step_details = {"type": "tool_calls", "tool_calls": calls}


def _function(call: ToolCall, **more: Any) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments, **more}
    return {"id": call.id, "type": "function", "function": function}
