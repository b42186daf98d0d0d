"""``localassist`` with a scripted model: ``scripted_main.py HOME REPLIES ARGUMENT…``.

REPLIES is a JSON file with what the model says in turn; a number before a reply is how many seconds
each of its pieces takes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from localassist.cli import main
from localassist.client import host
from localassist.engine import ScriptedEngine
from tests.conformance.serving import MODEL, scripted_settings
from tests.server.serving import Stage, scripted

if __name__ == "__main__":
    home, replies, *arguments = sys.argv[1:]
    scripted_settings(Path(home))
    said = json.loads(Path(replies).read_text())
    stage = Stage(has_kernels="--code" in arguments)
    stage.engine = ScriptedEngine(*said["replies"], model_id=MODEL, default_reply="It is four.")
    stage.engine._delay_seconds = said.get("delay", 0)
    host.open_runtime = scripted(stage)  # type: ignore[assignment]
    sys.argv = ["localassist", "--home", home, *arguments]
    main.main()
