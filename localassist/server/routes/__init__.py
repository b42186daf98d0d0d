"""Every route of the server: one module per resource, each with its ``ROUTES``."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from localassist.server.routes import (
    assistants,
    chat,
    embeddings,
    files,
    health,
    messages,
    metrics,
    models,
    run_steps,
    runs,
    threads,
    tools,
)

_V1 = (assistants, runs, run_steps, messages, threads, models, chat, embeddings, files, tools)

ROUTES: list[BaseRoute] = [
    *health.ROUTES,
    *metrics.ROUTES,
    *(
        Route(f"/v1{route.path}", route.endpoint, methods=route.methods)
        for module in _V1
        for route in module.ROUTES
    ),
]
