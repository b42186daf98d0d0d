"""Every route of the server: one module per resource, each with its ``ROUTES``."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from localassist.server.routes import (
    assistant_files,
    assistants,
    chat,
    embeddings,
    files,
    health,
    message_files,
    messages,
    metrics,
    models,
    run_steps,
    runs,
    threads,
    tools,
    uploads,
    vector_stores,
)

_V1 = (
    assistants,
    assistant_files,
    runs,
    run_steps,
    messages,
    message_files,
    threads,
    models,
    chat,
    embeddings,
    files,
    uploads,
    vector_stores,
    tools,
)

ROUTES: list[BaseRoute] = [
    *health.ROUTES,
    *metrics.ROUTES,
    *(
        Route(f"/v1{route.path}", route.endpoint, methods=route.methods)
        for module in _V1
        for route in module.ROUTES
    ),
]
