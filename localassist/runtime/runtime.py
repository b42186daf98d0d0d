"""All services of a data folder, opened in order and closed in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from localassist.engine import EnginePool
from localassist.offline import switch_off
from localassist.runs.counters import RunCounters
from localassist.runs.service import Runs
from localassist.runs.shutdown import Shutdown
from localassist.runtime.models import LoadEngine
from localassist.runtime.parts import Parts, open_parts
from localassist.runtime.work import Work, open_work
from localassist.sandbox.limits import Limits
from localassist.services.admission import Admission
from localassist.services.assistants import Assistants
from localassist.services.chat import Chat
from localassist.services.embeddings import Embeddings
from localassist.services.explain import Explain
from localassist.services.files import Files
from localassist.services.ingest import Ingest
from localassist.services.interpreter import Interpreter
from localassist.services.keys import Keys
from localassist.services.library import Library
from localassist.services.messages import Messages
from localassist.services.models import LoadEmbedder, Models
from localassist.services.owned_files import OwnedFiles
from localassist.services.store_embedders import StoreEmbedders
from localassist.services.threads import Threads
from localassist.services.uploads import Uploads
from localassist.services.vector_stores import VectorStores
from localassist.settings import Settings
from localassist.storage.tables import DEFAULT_PROJECT


@dataclass(frozen=True, slots=True)
class Runtime:
    """All services, open. Every method of a service takes the caller's project first.

    ``pool`` holds the loaded models; None when the engines are not its own.
    """

    settings: Settings
    assistants: Assistants
    threads: Threads
    messages: Messages
    runs: Runs
    run_counters: RunCounters
    files: Files
    owned_files: OwnedFiles
    uploads: Uploads
    vector_stores: VectorStores
    library: Library
    ingest: Ingest
    store_embedders: StoreEmbedders
    models: Models
    chat: Chat
    embeddings: Embeddings
    explain: Explain
    keys: Keys
    interpreter: Interpreter
    pool: EnginePool | None
    shutdown: Shutdown
    default_project: str = DEFAULT_PROJECT


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    engines: LoadEngine | None = None,
    embedders: LoadEmbedder | None = None,
    interpreter: Interpreter | None = None,
) -> AsyncIterator[Runtime]:
    """Open the data folder and start working; on leaving, park all runs and close everything.

    ``engines`` and ``embedders`` replace the real models, ``interpreter`` the kernels, for tests:
    see ``engine.ScriptedEngine`` and ``retrieval.embedders.HashingEmbedder``. Raises StorageError
    and ConfigError.
    """
    switch_off()
    async with AsyncExitStack() as stack:
        parts = await open_parts(stack, settings, engines, embedders, interpreter)
        work = await open_work(stack, parts)
        yield _runtime(parts, work)


def _runtime(parts: Parts, work: Work) -> Runtime:
    """The services, which hold nothing that has to be closed."""
    database, models, attachments = parts.database, parts.models, parts.attachments
    admission = Admission()

    async def thread_deleted(thread_id: str, active_runs: list[str]) -> None:
        work.executor.drop(active_runs)
        await parts.code.drop(thread_id)

    runs = Runs(
        database,
        models,
        work.writer,
        work.executor,
        work.log,
        parts.settings.runs,
        attachments,
        admission,
    )
    return Runtime(
        settings=parts.settings,
        assistants=Assistants(database, models, attachments, Limits.of(parts.settings.sandbox)),
        threads=Threads(database, attachments, thread_deleted),
        messages=Messages(database, attachments),
        runs=runs,
        run_counters=work.counters,
        files=parts.files,
        owned_files=OwnedFiles(database, attachments),
        uploads=Uploads(database, parts.blobs),
        vector_stores=VectorStores(database, parts.library, attachments),
        library=parts.library,
        ingest=parts.ingest,
        store_embedders=parts.store_embedders,
        models=models,
        chat=Chat(models, admission),
        embeddings=Embeddings(models),
        explain=Explain(models),
        keys=Keys(database),
        interpreter=parts.code,
        pool=parts.pool,
        shutdown=Shutdown(admission, work.executor, work.log),
    )
