"""The records of a streamed completion say what the schema objects say."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from localassist.schemas.base import is_storable
from localassist.schemas.chat import ChatCompletionChunk, ChatDelta, ChunkChoice
from localassist.server.encoding import to_json
from localassist.server.routes.chat import ChunkRecords
from localassist.server.sse import record

NAMES = st.one_of(st.text().filter(is_storable), st.just('"\\u0000text\\u0000"'), st.just("text"))


def chunk(model: str, delta: ChatDelta, *, with_usage: bool) -> ChatCompletionChunk:
    usage: dict[str, Any] = {"usage": None} if with_usage else {}
    choices = [ChunkChoice(delta=delta)]
    return ChatCompletionChunk(id="chatcmpl-1", created=1, model=model, choices=choices, **usage)


@given(model=NAMES, texts=st.lists(st.text(), max_size=4), with_usage=st.booleans())
def test_a_text_is_the_chunk_that_adds_it_to_the_byte(
    model: str, texts: list[str], with_usage: bool
) -> None:
    records = ChunkRecords()
    first = chunk(model, ChatDelta(role="assistant", content=""), with_usage=with_usage)
    assert records.of(first) == record(to_json(first.dump()))
    for text in texts:
        whole = chunk(model, ChatDelta(content=text), with_usage=with_usage)
        rendered = records.of(text)
        assert rendered == record(to_json(whole.dump()))
        assert json.loads(rendered.removeprefix(b"data: ")) == whole.dump()
