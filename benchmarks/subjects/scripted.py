"""``localassist serve`` with a model that is scripted: ``HOME --port PORT``. What is left is what
the service itself costs."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from localassist.engine import ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.runtime import open_runtime
from localassist.server import serve
from localassist.settings import load_settings

ANSWER = "A lighthouse stands on the rocks and its lamp turns all night. " * 4
PIECE_SECONDS = 0.02


async def engines(manifest: ModelManifest) -> ScriptedEngine:
    return ScriptedEngine(
        model_id=manifest.id, default_reply=ANSWER, delay_seconds=PIECE_SECONDS, piece_tokens=8
    )


def main() -> None:
    home, _, port = sys.argv[1:]
    serve.open_runtime = partial(open_runtime, engines=engines)  # type: ignore[assignment]
    settings = load_settings(Path(home), environ={}, server={"port": int(port)})
    serve.run_server(settings, lambda url, is_guarded: print(url, flush=True))


if __name__ == "__main__":
    main()
