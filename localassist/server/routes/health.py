"""``/health``, outside the API: is this process serving, which models are loaded, how far are the
files that it reads, and can it run code?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localassist.errors import AuthenticationFailed
from localassist.server.deps import gate_of, runtime_of


async def health(request: Request) -> Response:
    """Everybody may ask whether the server lives; names of models are for those with a key."""
    runtime = runtime_of(request)
    is_draining = runtime.shutdown.has_begun
    answer: dict[str, Any] = {"status": "draining" if is_draining else "ok"}
    # Whoever shares out requests by this shares out no more to a service that is about to stop.
    code = 503 if is_draining else 200
    try:
        await gate_of(request).project_for(request.headers.get("authorization"))
    except AuthenticationFailed:
        return JSONResponse(answer, code)
    loaded = runtime.pool.loaded() if runtime.pool is not None else []
    answer["models"] = [
        {"id": model.model_id, "state": model.state, "progress": round(model.progress, 3)}
        for model in loaded
    ]
    answer["embedders_loading"] = runtime.store_embedders.opening()
    answer["ingest"] = [
        {"file_id": file.file_id, "units": file.units, "total_units": file.total_units}
        for file in runtime.ingest.progress()
    ]
    verdict = runtime.interpreter.verdict_so_far()
    answer["sandbox"] = None if verdict is None else asdict(verdict)
    if is_draining:
        answer["under_way"] = runtime.shutdown.under_way
    answer["kernels"] = runtime.interpreter.counts()
    return JSONResponse(answer, code)


ROUTES = [Route("/health", health, methods=["GET"])]
