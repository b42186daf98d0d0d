"""Do llama.cpp's repacked weights work on this machine? Asked once, in a process that may die.

On some processors certain builds crash in the first pass over repacked weights (AMX tiles used
without their configuration). A crash cannot be caught, so a child process tries first; what became
of it is remembered per library build, processor and kind of model file. ``python -m
localassist.engine.probe MODEL`` is that child: it exits with 0 when decoding survives.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import localassist

_log = logging.getLogger(__name__)
_FILE_NAME = "extra_buffers.json"
_PREFILL_TOKENS = 64  # enough rows for the matrix kernels, single rows follow


def extra_buffers_survive(model_path: Path, folder: Path, *, timeout_seconds: float) -> bool:
    """The remembered verdict for this model file on this machine, or a new one (takes seconds)."""
    from localassist.engine.llama.library import runtime_fingerprint

    key = runtime_fingerprint(model_path)
    verdicts = _read_verdicts(folder / _FILE_NAME)
    if key not in verdicts:
        verdicts[key] = run_child(model_path, timeout_seconds=timeout_seconds)
        _write_verdicts(folder / _FILE_NAME, verdicts)
    return verdicts[key]


def run_child(model_path: Path, *, timeout_seconds: float) -> bool:
    """Start the child and see whether it ends well. A crash or a timeout is a no."""
    command = [sys.executable, "-m", "localassist.engine.probe", str(model_path.resolve())]
    package_parent = Path(localassist.__file__).resolve().parents[1]
    try:
        child = subprocess.run(
            command,
            cwd=package_parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _log.warning(
            "the probe of repacked weights took over %s s; not using them", timeout_seconds
        )
        return False
    if child.returncode != 0:
        _log.warning("repacked weights fail here (exit code %s); not using them", child.returncode)
    return child.returncode == 0


def _read_verdicts(path: Path) -> dict[str, bool]:
    """What is on file; a missing or damaged file only means asking again."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, bool)}


def _write_verdicts(path: Path, verdicts: dict[str, bool]) -> None:
    """Replace the file in one step; failing to remember is not an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, delete=False
        ) as file:
            json.dump(verdicts, file, indent=1, sort_keys=True)
        Path(file.name).replace(path)
    except OSError as error:
        _log.warning("cannot remember the probe's verdict in %s: %s", path, error)


def main(model_path: Path) -> None:
    """Decode a few tokens with repacked weights, in one large and several small passes."""
    from localassist.engine.backend import Batch
    from localassist.engine.config import EngineSettings
    from localassist.engine.llama import LlamaBackend

    settings = EngineSettings(
        context_tokens=256, max_sequences=1, cached_segments=0, batch_tokens=_PREFILL_TOKENS
    )
    backend = LlamaBackend(model_path, settings, use_extra_buffers=True)
    positions = list(range(_PREFILL_TOKENS))
    tokens = [position % backend.model.vocab_size for position in positions]
    last_only = [False] * (_PREFILL_TOKENS - 1) + [True]
    backend.forward(Batch(tokens, positions, [0] * _PREFILL_TOKENS, last_only))
    for position in range(_PREFILL_TOKENS, _PREFILL_TOKENS + 4):
        row = len(positions) - 1 if position == _PREFILL_TOKENS else 0
        token = int(backend.logits(row).argmax())
        backend.forward(Batch([token], [position], [0], [True]))
    backend.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
