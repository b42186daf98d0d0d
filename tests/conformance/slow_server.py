"""Serve an API whose model is scripted and slow: ``slow_server.py HOME SECONDS_PER_PIECE``.

What it says depends only on the question, so the successor of a killed server can go on with the
sentence. Asked for the weather, it calls a function first; asked to wait, it runs code that does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import uvicorn

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.server.app import create_app
from localassist.server.serve import base_url, listen
from tests.conformance.serving import MODEL, call, scripted_settings
from tests.server.serving import Stage, scripted

ANSWER = " ".join(f"This is sentence number {number} of the answer." for number in range(1, 13))
WEATHER_REPORT = "sunshine until noon"
ENVIRONMENT = "LOCALASSIST_SANDBOX__ENVIRONMENT"
WAIT_SECONDS = 3
WAITING = (
    '<tool_call>\n{"name": "python", "arguments": {"code": "import time\\n'
    f"print('begun', flush=True)\\ntime.sleep({WAIT_SECONDS})\\n"
    "print('wait' + 'ed')\"}}\n</tool_call>"
)


def reply(request: Generate) -> str:
    prompt = ScriptedEngine().detokenize(request.prompt)
    if "Please wait" in prompt and "waited" not in prompt:
        return WAITING
    return call("Paris") if "weather" in prompt and WEATHER_REPORT not in prompt else ANSWER


async def main(home: Path, delay_seconds: float) -> None:
    sandbox = {"environment": os.environ.get(ENVIRONMENT), "preload": [], "warm_kernels": 0}
    settings = scripted_settings(home, sandbox=sandbox)
    stage = Stage(has_kernels=True)
    stage.engine = ScriptedEngine(default_reply=reply, delay_seconds=delay_seconds, model_id=MODEL)
    with listen(settings.server) as listener:
        async with scripted(stage)(settings) as runtime:
            app = create_app(runtime, settings.server)
            server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
            # Asked to end, it closes the runtime before it does.
            server.capture_signals = nullcontext  # type: ignore[method-assign]
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, partial(setattr, server, "should_exit", True)
            )
            listener.listen()
            print(base_url(settings.server.host, listener.getsockname()[1]), flush=True)
            await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
