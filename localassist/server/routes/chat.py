"""``/chat/completions``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.chat import (
    ChatCompletionChunk,
    ChatCompletionCreate,
    ChatDelta,
    ChunkChoice,
)
from localassist.server.deps import (
    project_of,
    read_body,
    reply,
    runtime_of,
    settings_of,
    unless_left,
)
from localassist.server.encoding import to_json
from localassist.server.sse import EventStream, record


async def complete(request: Request) -> Response:
    body = await read_body(request, ChatCompletionCreate)
    chat = runtime_of(request).chat
    if not body.stream:
        return reply(request, await unless_left(request, chat.complete(project_of(request), body)))
    chunks = chat.stream(project_of(request), body)
    keepalive = settings_of(request).keepalive_seconds
    return EventStream(_records(chunks), is_named=False, keepalive_seconds=keepalive)


# No request can contain NUL, so nothing else in a chunk looks like this.
_PLACE = "\0text\0"


class ChunkRecords:
    """The records of one answer. A chunk that adds only text is the most frequent thing a server
    sends; everything around its text is rendered once."""

    def __init__(self) -> None:
        self._around: tuple[str, str] | None = None

    def of(self, chunk: ChatCompletionChunk | str) -> bytes:
        """The record of a chunk; a text stands for the chunk that adds it. The first is a chunk."""
        if isinstance(chunk, str):
            assert self._around is not None, "an answer begins with a whole chunk"
            before, after = self._around
            return f"{before}{to_json(chunk)}{after}".encode()
        if self._around is None:
            choice = ChunkChoice(delta=ChatDelta(content=_PLACE))
            model = record(to_json(chunk.model_copy(update={"choices": [choice]}).dump())).decode()
            before, after = model.split(to_json(_PLACE))
            self._around = before, after
        return record(to_json(chunk.dump()))


async def _records(
    chunks: AsyncGenerator[ChatCompletionChunk | str, None],
) -> AsyncGenerator[bytes, None]:
    records = ChunkRecords()
    async with aclosing(chunks):
        async for chunk in chunks:
            yield records.of(chunk)


ROUTES = [Route("/chat/completions", complete, methods=["POST"])]
