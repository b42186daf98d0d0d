"""What is said of models that were tried out, and the real one tried out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localassist.child import Outcome
from localassist.registry import Catalog
from localassist.services import model_check
from localassist.services.model_check import Check, check_model
from localassist.settings import load_settings
from tests.registry.gguf_files import gguf
from tests.registry.splitting import split

SHIPPED, EMBEDDER = "smollm2-135m-instruct", "all-minilm-l6-v2"

CHAT = {
    "template": "model",
    "system": True,
    "tools": True,
    "closing": "<|im_end|>",
    "is_end": True,
    "answer": "Hello!",
    "reason": "stop",
    "prefill": 300.0,
    "decode": 20.0,
    "read_tokens": 512,
    "was_quiet": True,
    "tool_mode": "native",
    "found": "100% right calls",
    "weights_bytes": 10**9,
    "kv_bytes": 10**8,
    "snapshot_bytes": 10**8,
    "taken_bytes": 11 * 10**8,
    "cells": 8192,
    "most_cells": 8192,
    "fitting_cells": 8192,
    "context": 8192,
}

Checked = Callable[..., dict[str, Check]]


def run(home: Path, name: str) -> dict[str, Check]:
    # On a busy machine several threads wait for each other.
    engine = {"use_extra_buffers": "off", "threads": 1, "batch_threads": 1}
    settings = load_settings(home, engine=engine)
    catalog = Catalog(home, settings.models)
    found = check_model(
        catalog,
        catalog.get(name),
        home=str(home),
        models=settings.models,
        engine=settings.engine,
        embedder_backend="torch",
    )
    return {check.name: check for check in found}


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Check a model whose trial finds these facts."""

    def check(
        *, metadata: dict[str, Any] | None = None, exit_code: int | None = 0, **facts: Any
    ) -> dict[str, Check]:
        (tmp_path / "m.gguf").write_bytes(gguf(metadata=metadata))
        Catalog(tmp_path / "home").add(tmp_path / "m.gguf")
        lines = ({key: value for key, value in facts.items() if value is not ...},)
        outcome = Outcome(lines, exit_code)
        monkeypatch.setattr(model_check, "run_child", lambda *_, **__: outcome)
        return run(tmp_path / "home", "m")

    return check


def test_a_good_model_is_ok(checked: Checked) -> None:
    found = checked(**CHAT)
    assert {check.verdict for check in found.values()} == {"ok"}
    names = ["files", "template", "end", "speed", "functions", "memory", "context"]
    assert list(found) == names


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "said"),
    [
        ({"template": "none"}, "template", "warn", "no chat template"),
        ({"is_end": False, "closing": "</s>"}, "end", "warn", "closes answers with '</s>'"),
        ({"is_end": False, "reason": "length"}, "end", "fail", "does not end them"),
        ({"answer": "Hi<|im_end|>"}, "end", "warn", "shows '<|'"),
        ({"reason": "length"}, "end", "warn", "did not come to an end"),
        ({"decode": 1.0}, "speed", "warn", "slower than people read"),
        ({"decode": 1.0, "was_quiet": False}, "speed", "warn", "Other programs kept"),
        ({"taken_bytes": 3 * 10**9}, "memory", "warn", "3.0 GB are taken; 1.1 GB were estimated"),
        ({"most_cells": 16384}, "context", "warn", "it would be 16,384"),
        ({"fitting_cells": 4096}, "room", "warn", "4,096 tokens would fit"),
        ({"fitting_cells": 0}, "room", "fail", "whatever the context"),
    ],
)
def test_what_is_wrong_is_said(
    checked: Checked, facts: dict[str, Any], name: str, verdict: str, said: str
) -> None:
    check = checked(**(CHAT | facts))[name]
    assert check.verdict == verdict
    assert said in check.says
    assert check.fix


@pytest.mark.parametrize(
    ("exit_code", "facts", "said"),
    [
        (-11, {"step": "load"}, "died while loading it (exit code -11)"),
        (-9, {"step": "speed"}, "killed while measuring its speed, most likely for want of memory"),
        (None, {"step": "answer"}, "still answering"),
        (0, {"failed": "It cannot.", "reasons": ["unknown model architecture: 'x'"]}, "'x'"),
    ],
)
def test_a_trial_that_ends_badly_is_said(
    checked: Checked, exit_code: int | None, facts: dict[str, Any], said: str
) -> None:
    check = checked(exit_code=exit_code, **facts)["trial"]
    assert check.verdict == "fail"
    assert said in check.says


def test_a_file_that_was_changed_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf())
    catalog = Catalog(tmp_path / "home")
    catalog.locate(catalog.add(path))
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk does it
    monkeypatch.setattr(model_check, "run_child", None)
    found = run(tmp_path / "home", "m")
    assert [check.verdict for check in found.values()] == ["fail"]
    assert "expected SHA-256" in found["files"].says


@pytest.mark.parametrize(
    ("facts", "name", "verdict"),
    [
        ({}, "meaning", "ok"),
        ({"dimensions": 5}, "vectors", "fail"),
        ({"alike": 0.3}, "meaning", "warn"),
        ({"alike": 0.1}, "meaning", "fail"),
        ({"again": 0.9}, "meaning", "fail"),
        ({"length": 0.5}, "meaning", "fail"),
    ],
)
def test_an_embedder_is_judged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, float],
    name: str,
    verdict: str,
) -> None:
    good = {"dimensions": 384, "alike": 0.8, "other": 0.25, "again": 1.0, "length": 1.0}
    speed = {"texts": 9.0, "window": 254, "taken_bytes": None}
    outcome = Outcome((good | speed | facts,), 0)
    monkeypatch.setattr(model_check, "run_child", lambda *_, **__: outcome)
    assert run(tmp_path, EMBEDDER)[name].verdict == verdict


@pytest.mark.model
def test_the_embedded_model_is_tried_out_in_parts(tmp_path: Path) -> None:
    """As llama.cpp gets it when it is split, with a context of its own."""
    home = tmp_path / "home"
    catalog = Catalog(home)
    parts = split(catalog.locate(catalog.get(SHIPPED)), tmp_path, 3)
    model = catalog.add(parts[2], model_id="parted")
    catalog.replace("parted", model.model_copy(update={"context_length": 512}))
    found = run(home, "parted")
    assert {name: check.verdict for name, check in found.items() if check.verdict == "fail"} == {}
    assert found["context"].figures is not None and found["context"].figures["tokens"] == 512
    assert found["end"].figures == {"closing": "<|im_end|>", "is_end": True, "reason": "stop"}
    assert found["functions"].figures == {"tool_mode": "guided", "found": None}
    figures = found["speed"].figures
    assert figures is not None and figures["decode_tokens_per_second"] > 0


@pytest.mark.model
def test_a_model_of_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(gguf(metadata={"general.architecture": "futura"}))
    Catalog(tmp_path / "home").add(path)
    trial = run(tmp_path / "home", "new")["trial"]
    assert "unknown model architecture: 'futura'" in trial.says
    assert trial.fix is not None and "llama-cpp-python" in trial.fix


@pytest.mark.slow
def test_the_shipped_embedder_makes_sense(tmp_path: Path) -> None:
    found = run(tmp_path, EMBEDDER)
    assert {check.verdict for check in found.values()} == {"ok"}
