"""Exception → HTTP answer, in one place.

Every failure leaves as the ``{"error": {message, type, param, code}}`` envelope. What an operator
must know is logged here, once; what a caller must not know (storage details, tracebacks) stays in
the log. Knows nothing of single resources: their texts come with the exceptions.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from localassist.errors import (
    CapacityError,
    InvalidRequest,
    LocalAssistError,
    MethodNotAllowed,
    ModelError,
    ModelFileRejected,
    ModelLoadFailed,
    RateLimited,
    RequestError,
    ResourceNotFound,
    StorageUnavailable,
)
from localassist.schemas.errors import ErrorBody, ErrorEnvelope
from localassist.server.encoding import to_json

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = 1.0
# Waiting may help against these and against nothing else: a missing model stays missing, and
# repeating a POST that met a bug can only create a second object.
_WORTH_RETRYING = (CapacityError, RateLimited, StorageUnavailable)
# Their messages are written for the caller. Everything else may name paths or queries.
_SHOWN = (RequestError, ModelError, CapacityError)


def envelope(exc: Exception, request_id: str) -> ErrorEnvelope:
    """The error object of the API for any exception; unexpected ones give nothing away."""
    if isinstance(exc, _SHOWN):
        return ErrorEnvelope.of(exc)
    text = f"The server had an error processing your request. (Request ID: {request_id})"
    return ErrorEnvelope(error=ErrorBody(message=text, type="server_error"))


def error_response(exc: Exception, scope: Scope) -> Response:
    """The complete answer for ``exc``, logged when it is the server's fault."""
    exc = _from_routing(exc, scope)
    status = exc.status if isinstance(exc, LocalAssistError) else 500
    log_if_ours(exc, scope)
    return Response(
        to_json(envelope(exc, request_id_of(scope)).dump()),
        status_code=status,
        headers=_headers(exc, status, scope),
        media_type="application/json",
    )


def log_if_ours(exc: Exception, scope: Scope) -> None:
    """Write down a server's fault, with what is needed to find the request again: its traceback,
    or only its message where that says what the operator has to do."""
    if isinstance(exc, RequestError | CapacityError):
        return
    if isinstance(exc, ModelError) and exc.status < 500:
        return
    request_id = request_id_of(scope)
    is_explained = isinstance(exc, ModelFileRejected | ModelLoadFailed | StorageUnavailable)
    log.error(
        "%s %s failed (%s)%s",
        scope["method"],
        scope["path"],
        request_id,
        f": {exc}" if is_explained else "",
        exc_info=None if is_explained else exc,
        extra={"request_id": request_id},
    )


def request_id_of(scope: Scope) -> str:
    """The id that the request-context middleware gave to this request."""
    return str(scope["state"]["request_id"])


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """Starlette's own refusals (unknown route, wrong method, broken form) in the API's words."""
    assert isinstance(exc, HTTPException)
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": _allowed_methods(request.scope)})
    return error_response(exc, request.scope)


def _from_routing(exc: Exception, scope: Scope) -> Exception:
    if not isinstance(exc, HTTPException):
        return exc
    method, path = scope["method"], scope["path"]
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return ResourceNotFound(
            f"Unknown request URL: {method} {path}. Please check the URL for typos, or see the "
            "docs at https://platform.openai.com/docs/api-reference/.",
            code="unknown_url",
        )
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(
            f"Not allowed to {method} on {path}. "
            "(HINT: Perhaps you meant to use a different HTTP method?)"
        )
    return InvalidRequest(exc.detail)


def _headers(exc: Exception, status: int, scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(exc, MethodNotAllowed):
        headers["allow"] = _allowed_methods(scope)
    if isinstance(exc, _WORTH_RETRYING):
        headers["retry-after"] = str(math.ceil(exc.retry_after_seconds or _RETRY_AFTER_SECONDS))
    elif status >= 500:
        headers["x-should-retry"] = "false"
    return headers


def _allowed_methods(scope: Scope) -> str:
    """Every method that some route serves at this path, for the ``Allow`` header."""
    methods = {"OPTIONS"}
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))
