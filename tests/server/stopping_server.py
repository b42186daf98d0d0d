"""``localassist serve`` with a scripted model: ``stopping_server.py HOME SECONDS_PER_PIECE``.

Everything but the model is what a user starts, signals included.
"""

from __future__ import annotations

import sys
from pathlib import Path

from localassist.engine import ScriptedEngine
from localassist.server import serve
from tests.conformance.serving import MODEL, scripted_settings
from tests.conformance.slow_server import ANSWER
from tests.server.serving import Stage, scripted


def main(home: Path, delay_seconds: float) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply=ANSWER, delay_seconds=delay_seconds, model_id=MODEL)
    serve.open_runtime = scripted(stage)
    serve.run_server(
        scripted_settings(home),
        lambda url, is_guarded: print(url, flush=True),
        lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
