"""``/chat/completions``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.chat import ChatCompletionChunk, ChatCompletionCreate
from localassist.server.deps import (
    project_of,
    read_body,
    reply,
    runtime_of,
    settings_of,
    unless_left,
)
from localassist.server.encoding import to_json
from localassist.server.sse import EventStream, ServerSentEvent


async def complete(request: Request) -> Response:
    body = await read_body(request, ChatCompletionCreate)
    chat = runtime_of(request).chat
    if not body.stream:
        return reply(request, await unless_left(request, chat.complete(project_of(request), body)))
    chunks = chat.stream(project_of(request), body)
    keepalive = settings_of(request).keepalive_seconds
    return EventStream(_events(chunks), is_named=False, keepalive_seconds=keepalive)


async def _events(
    chunks: AsyncGenerator[ChatCompletionChunk, None],
) -> AsyncGenerator[ServerSentEvent, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield ServerSentEvent(to_json(chunk.dump()))


ROUTES = [Route("/chat/completions", complete, methods=["POST"])]
