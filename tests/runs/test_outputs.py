"""Outputs that are handed in for a run in an unusual state."""

from __future__ import annotations

from sqlalchemy import select

from localassist.engine import ScriptedEngine
from localassist.schemas.runs import SubmitToolOutputs
from localassist.storage import run_steps
from localassist.storage.database import Database, Session
from localassist.storage.tables import RunRow
from tests.runs.conftest import WEATHER, OpenRuntime, P, begin

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def _open_message_step(session: Session, run_id: str) -> None:
    row = session.scalars(select(RunRow).where(RunRow.id == run_id)).one()
    details = {"message_creation": {"message_id": "msg_absent"}}
    run_steps.insert(session, row, {"type": "message_creation", **details})


async def test_outputs_are_stored_beside_a_message_that_was_left_open(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(CALL, "It rains.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.finish()
        assert run.required_action is not None
        database = Database.open(runtime.settings.home, runtime.settings.storage)
        await database.write(lambda session: _open_message_step(session, run.id))
        await database.close()
        (call,) = run.required_action.submit_tool_outputs.tool_calls
        given = {"tool_outputs": [{"tool_call_id": call.id, "output": "rain"}]}
        submitted = await runtime.runs.submit_tool_outputs(
            P, talk.thread_id, run.id, SubmitToolOutputs.model_validate(given)
        )
        await talk.events(run, submitted.after_seq)
        assert (await talk.look(run)).status == "completed"
        assert all(step.status != "in_progress" for step in await talk.steps(run))
