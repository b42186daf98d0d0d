"""The official client against a real runtime, over both ways to reach it."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.settings import load_settings
from tests.server.serving import Stage, in_process, on_socket

ANSWER = "The answer comes in pieces, one after the other."


@pytest.fixture(scope="module")
def _stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module", params=[in_process, on_socket], ids=["in-process", "socket"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _stage: Stage
) -> Iterator[openai.OpenAI]:
    """One runtime for all tests of a module: they make their own objects."""
    limits = {"max_body_bytes": 100_000, "max_upload_bytes": 2_000_000}
    server = {"port": 0, "keepalive_seconds": 0.2, **limits}
    settings = load_settings(tmp_path_factory.mktemp("home"), server=server)
    with request.param(settings, _stage) as client:
        yield client


@pytest.fixture(autouse=True)
def engine(_stage: Stage) -> ScriptedEngine:
    """What answers during this test."""
    _stage.engine = ScriptedEngine(default_reply=ANSWER)
    return _stage.engine


@pytest.fixture
def slow_engine(_stage: Stage, engine: ScriptedEngine) -> ScriptedEngine:
    """The same, with a pause before each piece."""
    _stage.engine = ScriptedEngine(default_reply=ANSWER, delay_seconds=0.04)
    return _stage.engine
