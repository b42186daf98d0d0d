"""The official SDKs of several years against the same server: what each has always relied on.

Each version lies in a folder of its own below ``.venv/sdks``, installed when first needed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.runtime import open_keys
from tests.conformance.serving import MODEL, ROOT, call, clean_environ, scripted_settings
from tests.conformance.test_code_interpreter import python
from tests.conftest import KERNELS
from tests.server.serving import Stage, on_socket

DRIVERS = Path(__file__).parent / "sdks"
FOLDER = ROOT / ".venv" / "sdks"
SECONDS = 60
ANSWER = "It is a fine day, and this sentence arrives in several pieces."
_CODE = """import matplotlib.pyplot as plt
numbers = [int(line) for line in open("data.csv").read().split()[1:]]
plt.plot(numbers)
plt.show()
open("total.csv", "w").write(f"total\\n{sum(numbers)}\\n")
print("größer")
"""
_CODED = (python(_CODE), "Done: [the total](sandbox:/mnt/data/total.csv) of the numbers.")
_SEARCH = '<tool_call>\n{"name": "file_search", "arguments": {"queries": ["leave"]}}\n</tool_call>'

# Old clients pass an option to httpx that it no longer has.
PYTHON = {
    "py-1.12.0": ["openai==1.12.0", "httpx<0.28"],
    "py-1.20.0": ["openai==1.20.0", "httpx<0.28"],
    "py-1.54.0": ["openai==1.54.0", "httpx<0.28"],
    "py-3": [],
}
NODE = {"npm-4": "openai@4.104.0", "npm-6": "openai@6.49.0", "npm-7": "openai@7.55.0"}
AREAS = [
    *"objects polled streamed function function_streamed cancelled files vector_stores".split(),
    *"documents uploads errors chat".split(),
    pytest.param("code", marks=pytest.mark.sandbox),
]
# What a version does not have.
MISSING = {
    "py-1.12.0": {"streamed", "function_streamed", "vector_stores", "uploads"},
    "py-1.20.0": {"vector_stores", "uploads"},
    **dict.fromkeys(NODE, {"uploads"}),
}


def _cited(request: Generate) -> str:
    """An answer that cites what the prompt holds."""
    prompt = ScriptedEngine().detokenize(request.prompt)
    (marker,) = set(re.findall(r"【[^】]*】", prompt))
    return f"Employees have thirty days of leave{marker}."


REPLIES: dict[str, tuple[str | Callable[[Generate], str], ...]] = {
    "function": (call("Oslo"),),
    "function_streamed": (call("Oslo"),),
    "documents": (_SEARCH, _cited),
    "code": (*_CODED, *_CODED),
    "cancelled": ("word " * 4000,),
}


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(has_kernels=True)


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, stage: Stage) -> Iterator[dict[str, str]]:
    """A server that asks for a key, where programs find it."""
    sandbox: dict[str, Any] = {"environment": KERNELS, "preload": [], "warm_kernels": 0}
    settings = scripted_settings(tmp_path_factory.mktemp("home"), sandbox=sandbox)

    async def make_key() -> str:
        async with open_keys(settings) as keys:
            return (await keys.create("programs", "default"))[1]

    key = asyncio.run(make_key())
    with on_socket(settings, stage) as client:
        url = str(client.base_url).rstrip("/")
        yield clean_environ() | {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": key}


def _install(folder: Path, command: list[str]) -> None:
    """Fill a folder once; it appears when it is complete."""
    if folder.exists():
        return
    made = folder.with_name(f"{folder.name}.{os.getpid()}")
    made.mkdir(parents=True)
    done = subprocess.run(command, cwd=made, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(made)
        pytest.fail(f"{folder.name} cannot be installed: {done.stderr[-500:]}")
    made.rename(folder)


def _python(name: str, area: str, environ: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    path = []
    if wanted := PYTHON[name]:
        _install(FOLDER / name, [sys.executable, "-m", "pip", "install", "-q", "-t", ".", *wanted])
        path = [str(FOLDER / name)]
    command = [sys.executable, str(DRIVERS / "drive.py"), area, ANSWER]
    return command, environ | {"PYTHONPATH": os.pathsep.join(path)}


def _node(name: str, area: str, environ: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js is not installed")
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", ".", NODE[name]]
    _install(FOLDER / name, install)
    return [node, str(DRIVERS / "drive.mjs"), area, ANSWER], environ


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("name", [*PYTHON, *NODE])
def test_an_sdk_finds_what_it_relies_on(
    name: str, area: str, environ: dict[str, str], stage: Stage
) -> None:
    if area in MISSING.get(name, ()):
        pytest.skip(f"{name} has no {area}")
    command, environ = (_python if name in PYTHON else _node)(name, area, environ)
    delay = 0.01 if area == "cancelled" else 0.0
    stage.engine = ScriptedEngine(
        *REPLIES.get(area, ()), model_id=MODEL, default_reply=ANSWER, delay_seconds=delay
    )
    folder = FOLDER / name if name in NODE else ROOT
    done = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
