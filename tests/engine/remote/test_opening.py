"""Which kind of server listens, told from its own list of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from localassist.engine.remote import DIALECTS, ServerEngine
from localassist.errors import CapacityError, ModelLoadFailed, ShuttingDown
from tests.engine.remote.serving import app_on_thread, raw_server, response
from tests.engine.remote.test_wire import sending
from tests.engine.remote.vllm_imitation import MODEL, Vllm


def listing(owner: str, *names: str) -> bytes:
    cards = ", ".join(f'{{"id": "{name}", "owned_by": "{owner}"}}' for name in names)
    return response(200, f'{{"data": [{cards}]}}'.encode())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (listing("me", "m"), "llama-cpp-python.*could forge a turn"),
        (listing("somebody", "m"), "a kind that is not known"),
        (listing("vllm", "a", "b"), "name one of: a, b"),
        (listing("vllm"), "several models or none"),
        (response(200, b'{"data": 3}'), "no model server at this"),
        (response(200, b"[]"), "no model server at this"),
        (response(401, b"{}"), "refuses the API key"),
        (listing("vllm", "m"), "how long its context is"),
        (listing("llamacpp", "m"), "does not describe a loaded model"),
    ],
)
def test_a_server_that_cannot_be_used(
    connected: Callable[..., ServerEngine], answer: bytes, said: str
) -> None:
    with raw_server(sending(answer)) as url, pytest.raises(ModelLoadFailed, match=said):
        connected(url)


def test_a_server_that_is_loading_is_asked_later(connected: Callable[..., ServerEngine]) -> None:
    with raw_server(sending(response(503, b"{}"))) as url, pytest.raises(CapacityError):
        connected(url)


async def test_a_closed_engine_says_so(connected: Callable[..., Any]) -> None:
    with app_on_thread(Vllm().app) as url:
        engine = connected(url, model=MODEL)
        await engine.close()
        with pytest.raises(ShuttingDown):
            engine.tokenize("a", parse_special=False)


def test_dialects_have_names_of_their_own() -> None:
    names = [dialect.name for dialect in DIALECTS.values()]
    assert len(set(names)) == len(names)
