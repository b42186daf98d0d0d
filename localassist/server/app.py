"""The ASGI application: routes and middleware around an open runtime.

Opens and closes nothing: whoever has a runtime (``serve``, the in-process client, a test) can have
an app for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from localassist.server.auth import Gate
from localassist.server.config import ServerSettings
from localassist.server.errors import on_http_exception
from localassist.server.metrics import Metrics, RequestCount
from localassist.server.middleware import Authentication, BodyLimit, ErrorBoundary, RequestContext
from localassist.server.routes import ROUTES, docs
from localassist.server.tracing import RequestSpan

if TYPE_CHECKING:
    from localassist.runtime import Runtime

_EXPOSED_HEADERS = ("x-request-id", "openai-poll-after-ms", "openai-processing-ms", "retry-after")


def create_app(
    runtime: Runtime, settings: ServerSettings, *, asks_for_keys: bool = True
) -> Starlette:
    """The application serving ``runtime``. One that nobody outside of this process can reach need
    not ask for keys; whoever calls it owns the default project."""
    keys = runtime.keys if asks_for_keys else None
    gate = Gate(runtime.default_project, settings.api_keys, keys)
    routes = [*ROUTES, *(docs.ROUTES if settings.docs else ())]
    paths = {route.endpoint: route.path for route in routes if isinstance(route, Route)}
    metrics = Metrics(
        runtime.pool,
        runtime.ingest.counters,
        runtime.library.seconds,
        runtime.interpreter.counts,
        runtime.run_counters,
        paths,
    )
    app = Starlette(
        routes=routes,
        middleware=_middleware(settings, gate, metrics, paths),
        exception_handlers={HTTPException: on_http_exception},
    )
    # A URL with a slash too many is unknown; a redirect would lose the body of a POST.
    app.router.redirect_slashes = False
    app.state.runtime = runtime
    app.state.settings = settings
    app.state.gate = gate
    app.state.metrics = metrics
    return app


def _middleware(
    settings: ServerSettings, gate: Gate, metrics: Metrics, paths: Mapping[Any, str]
) -> list[Middleware]:
    """Outermost first. CORS is outside of the error boundary so that browsers can read errors."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=_EXPOSED_HEADERS,
    )
    return [
        Middleware(RequestCount, metrics=metrics),
        Middleware(RequestContext),
        Middleware(RequestSpan, paths=paths),
        *([cors] if settings.cors_origins else []),
        Middleware(ErrorBoundary),
        Middleware(Authentication, gate=gate),
        Middleware(BodyLimit, settings=settings),
    ]
