"""A real llama-server with the embedded model, started once for all tests that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localassist.engine.remote import ServerEngine, connect
from localassist.tools.schema import value_problem
from tests.engine.remote.serving import address, llama_server


@pytest.fixture(scope="session")
def llama_url(model_path: Path) -> Iterator[str]:
    with llama_server(model_path) as url:
        yield url


@pytest.fixture
def connected() -> Iterator[Callable[..., ServerEngine]]:
    """Makes engines of addresses, and lets go of them."""
    engines: list[ServerEngine] = []

    def make(url: str, **options: object) -> ServerEngine:
        context_length = options.pop("context_length", None)
        engine = connect(
            address(url, **options),
            "far",
            value_problem,
            context_length=context_length,  # type: ignore[arg-type]
        )
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.disconnect()
