"""One run, worked from where it stands to its next rest: an answer, a call, or a failure.

``RunLoop.work`` is what a worker does with a run it has claimed. Everything it learns comes from
storage and everything it decides goes through the recorder, so that another worker can take over
after any write. Knows nothing of queues, leases or streams.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from localassist.errors import (
    ContextLengthExceeded,
    GrammarRejected,
    LeaseLost,
    LocalAssistError,
    PromptRejected,
    StorageError,
)
from localassist.observability import spans
from localassist.runs.coding import Coding, Workplace
from localassist.runs.config import RunSettings
from localassist.runs.recorder import OpenMessage, Recorder
from localassist.runs.searching import Searcher, Stores
from localassist.runs.subject import Job, Subject
from localassist.runs.turn_writer import BudgetSpent
from localassist.runs.turns import Turns
from localassist.services.models import Models
from localassist.storage.database import Database
from localassist.tools.base import Toolbox

_log = logging.getLogger(__name__)


class RunLoop:
    """Works runs; one instance serves all of a process."""

    def __init__(
        self,
        database: Database,
        models: Models,
        searcher: Searcher,
        coding: Coding,
        settings: RunSettings,
    ) -> None:
        self._models = models
        self._searcher = searcher
        self._coding = coding
        self._settings = settings
        self._turns = Turns(database, models.validate, searcher, coding, settings)

    async def work(self, job: Job, recorder: Recorder) -> None:
        """Take the run to its next rest. Raises LeaseLost, StorageError, or CancelledError."""
        try:
            if job.interruptions > self._settings.max_interruptions:
                raise LocalAssistError(f"The run was interrupted {job.interruptions} times.")
            opened = await recorder.recover() if job.is_taken_over else None
            await self._work(job, recorder, opened)
        except BudgetSpent as spent:
            reason, usage = spent.reason, spent.usage
            await recorder.end("incomplete", incomplete_reason=reason, usage=usage)
        except (LeaseLost, StorageError):
            raise
        except (ContextLengthExceeded, PromptRejected, GrammarRejected) as error:
            await _fail(recorder, "invalid_prompt", error.message)
        except LocalAssistError as error:
            _log.warning("run %s failed: %s", job.run.id, error.message)
            await _fail(recorder, "server_error", error.message)
        except Exception:
            _log.exception("run %s failed", job.run.id)
            await _fail(recorder, "server_error", "Sorry, something went wrong.")

    async def _work(self, job: Job, recorder: Recorder, opened: OpenMessage | None) -> None:
        """Turn after turn, as long as the run asks nothing of its caller."""
        run = job.run
        toolbox = Toolbox.from_wire([tool.dump() for tool in run.tools])
        has_choice = run.tool_choice != "none"
        stores = Stores()
        if toolbox.file_search is not None and has_choice:
            stores = await self._searcher.stores(job.project, run)
        place: Workplace | None = None
        if toolbox.code_interpreter and has_choice:
            place = await self._coding.workplace(job.project, run, job.code_limits)
        can_run = place is not None and place.verdict.ok
        calls = has_choice and (bool(toolbox.functions) or bool(stores.ids) or can_run)
        while True:
            with spans.span("turn"):
                async with self._models.chat(run.model, calls_functions=calls) as model:
                    subject = Subject(job, recorder, model, toolbox, stores, place)
                    used = await self._turns.take(subject, opened)
            if used is None:
                return
            job, opened = replace(job, used=job.used + used), None


async def _fail(recorder: Recorder, code: str, message: str) -> None:
    await recorder.end("failed", last_error={"code": code, "message": message})
