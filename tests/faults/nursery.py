"""Servers that start quickly, because they are forked: ``python -m tests.faults.nursery``.

Each line of standard input is a job: ``[KIND, HOME, ...]`` as JSON. A child is forked for it, which
writes one line when it is ready, and works until it is killed. What the scripted model says depends
only on the question, so that a successor can go on with the sentence.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.runtime import open_keys
from localassist.server.app import create_app
from localassist.server.serve import base_url, listen
from tests.conformance.serving import MODEL, scripted_settings
from tests.conformance.slow_server import ANSWER
from tests.server.serving import Stage, scripted

PIECE_SECONDS = 0.002
ENVIRONMENT = "LOCALASSIST_SANDBOX__ENVIRONMENT"
CODE = "print('begun', flush=True)\nopen('table.csv', 'w').write('1,2,3\\n' * 1000)\n"
LATE_IMPORTS = ("httptools", "llguidance", "numpy.ma", "sqlite3", "tantivy")
# What a question that has one of these words makes the model do first.
CALLS: dict[str, dict[str, Any]] = {
    "weather": {"name": "get_weather", "arguments": {"city": "Paris"}},
    "search": {"name": "file_search", "arguments": {"queries": ["lighthouse museum"]}},
    "compute": {"name": "python", "arguments": {"code": CODE}},
}


def reply(request: Generate) -> str:
    prompt = ScriptedEngine().detokenize(request.prompt)
    if "<|im_start|>tool" in prompt:
        return ANSWER
    asked = prompt.rpartition("<|im_start|>user")[2]
    body = next((call for word, call in CALLS.items() if word in asked), None)
    return ANSWER if body is None else f"<tool_call>\n{json.dumps(body)}\n</tool_call>"


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once and whole, since the next moment may be the last


async def serve(home: Path, sections: dict[str, Any] | None = None) -> None:
    """The API on a free port; says its URL."""
    kernels = {"environment": os.environ.get(ENVIRONMENT), "preload": [], "warm_kernels": 0}
    settings = scripted_settings(home, **{"sandbox": kernels, **(sections or {})})
    stage = Stage(has_kernels=True)
    stage.engine = ScriptedEngine(default_reply=reply, delay_seconds=PIECE_SECONDS, model_id=MODEL)
    with listen(settings.server) as listener:
        async with scripted(stage)(settings) as runtime:
            app = create_app(runtime, settings.server)
            server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
            listener.listen()
            say(base_url(settings.server.host, listener.getsockname()[1]))
            await server.serve(sockets=[listener])


async def make_keys(home: Path, prefix: str) -> None:
    """Keys as fast as they can be made, every other one revoked; says what is done, and before
    that, what is about to be done."""
    async with open_keys(scripted_settings(home)) as keys:
        say("ready")
        for number in count():
            name = f"{prefix} {number}"
            say(f"making {name}")
            await keys.create(name, "another")
            say(f"made {name}")
            if number % 2:
                say(f"revoking {name}")
                await keys.revoke(name)
                say(f"revoked {name}")


WORK: dict[str, Callable[..., Any]] = {"serve": serve, "keys": make_keys}


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever is killed is gone at once
    for name in LATE_IMPORTS:
        import_module(name)
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        kind, output, home, *more = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.setsid()
        try:
            asyncio.run(WORK[kind](Path(home), *more))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)


if __name__ == "__main__":
    main()
