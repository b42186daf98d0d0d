"""The command line over a scripted engine, in this process."""

from __future__ import annotations

import pytest

from localassist.client import host
from localassist.engine import ScriptedEngine
from tests.server.serving import Stage, scripted


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """The engine behind every in-process client of the test."""
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="It is four.")
    monkeypatch.setattr(host, "open_runtime", scripted(stage))
    return stage.engine
