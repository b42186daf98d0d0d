"""Settles what the user left open about how a model is computed: repacked weights, thread counts
and micro-batch. Measured when a model is first loaded on a machine, then remembered.

Readings of a busy machine are not believed for ever: the next loads add their own to them, up to
``_MAX_TRIES``, and where the machine was never quiet, one load a day does. A child that was stopped
tells nothing, and the next load asks again. Whatever goes wrong leads to the safe values: no
repacked weights, a thread per core, whole passes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localassist import clock
from localassist.disk import replacing
from localassist.engine.config import EngineSettings
from localassist.engine.machine import core_numbers, usable_cores
from localassist.engine.passes import (
    CHUNK,
    SEVERAL,
    SINGLE,
    Pass,
    best_micro_batch,
    best_of,
    fewest_threads,
    is_quiet,
)
from localassist.engine.probe import Findings, ask_child

_log = logging.getLogger(__name__)
_MAX_TRIES = 3
_LATER_SECONDS = 24 * 3600
_RELEVANT = {
    "batch_tokens", "cache_type_k", "cache_type_v", "flash_attention", "gpu_layers", "lora",
    "use_extra_buffers",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found best, and the best readings it follows from. ``is_quiet``: other programs did
    not disturb them."""

    threads: int
    batch_threads: int
    micro_batch: int
    is_quiet: bool = False
    measurements: tuple[Pass, ...] = ()


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered of one model on one machine. ``tries`` are the loads that measured, and
    ``measured_at`` is when the last one did, in seconds since the epoch."""

    tries: int = 0
    passes: tuple[Pass, ...] = ()
    measured_at: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether the next load need not measure."""
        if self.passes and is_quiet(self.passes):
            return True
        is_fresh = 0 <= clock.now() - self.measured_at < _LATER_SECONDS
        return self.tries >= _MAX_TRIES and is_fresh

    def add(self, passes: tuple[Pass, ...]) -> _Record:
        best = best_of((*self.passes, *passes))
        return _Record(self.tries + 1, tuple(best[key] for key in sorted(best)), clock.now())


def tuned(
    settings: EngineSettings, path: Path, folder: Path, check: Callable[[], None] = lambda: None
) -> EngineSettings:
    """The settings with nothing left open that is measured; what the user has set stays.

    May take seconds, in a child process; ``check`` is called meanwhile, and may raise to stop that.
    ``folder`` remembers. Raises ModelLoadFailed if the file is no model.
    """
    is_open = None in (settings.threads, settings.batch_threads, settings.micro_batch_tokens)
    if not is_open and settings.use_extra_buffers != "auto":
        return settings
    from localassist.engine.llama.library import runtime_fingerprint

    memory = _Memory(folder, runtime_fingerprint(path), path, settings)
    measures = is_open and settings.tuning_seconds > 0
    record = memory.record() if measures else _Record()
    measures = measures and not record.is_enough
    seconds = settings.tuning_seconds if measures else 0.0
    findings: Findings | None = None
    survives = memory.survives() if settings.use_extra_buffers == "auto" else None
    if settings.use_extra_buffers != "auto":
        use_extra_buffers = settings.use_extra_buffers == "on"
    elif survives is None:
        findings = ask_child(
            path, settings, use_extra_buffers=True, measuring_seconds=seconds, check=check
        )
        use_extra_buffers = findings.survived
        if findings.is_certain:
            memory.remember_survival(use_extra_buffers)
    else:
        use_extra_buffers = survives
    if measures:
        if findings is None or (findings.is_certain and not findings.survived):
            findings = ask_child(
                path,
                settings,
                use_extra_buffers=use_extra_buffers,
                measuring_seconds=seconds,
                check=check,
            )
        if findings.is_certain:
            record = record.add(findings.passes)
            memory.remember(record)
    found = decide(record.passes, settings.batch_tokens)
    _log.info("%s: %s", path.name, _summary(found))
    return _filled(settings, found, use_extra_buffers=use_extra_buffers)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What earlier loads have found out: ``tuning`` None where nothing was measured, ``survives``
    None where repacked weights were never tried."""

    tuning: Tuning | None
    survives: bool | None


def remembered(settings: EngineSettings, path: Path, folder: Path) -> Remembered:
    """What ``tuned`` would go by, without finding out anything. Blocks for a moment: it reads the
    header of the file. Raises ModelLoadFailed if that is no model."""
    from localassist.engine.llama.library import runtime_fingerprint

    memory = _Memory(folder, runtime_fingerprint(path), path, settings)
    passes = memory.record().passes
    found = decide(passes, settings.batch_tokens) if passes else None
    return Remembered(found, memory.survives())


def decide(passes: tuple[Pass, ...], batch_tokens: int) -> Tuning:
    """The fewest threads and the largest micro-batch that nothing clearly beats; where there is no
    reading, a thread per core and whole passes."""
    cores = usable_cores()
    batch_threads = fewest_threads(passes, (SEVERAL, CHUNK)) or cores
    return Tuning(
        threads=fewest_threads(passes, (SINGLE,)) or cores,
        batch_threads=batch_threads,
        micro_batch=best_micro_batch(passes, batch_tokens, batch_threads),
        is_quiet=is_quiet(passes),
        measurements=passes,
    )


def _filled(settings: EngineSettings, found: Tuning, *, use_extra_buffers: bool) -> EngineSettings:
    return settings.model_copy(
        update={
            "threads": settings.threads or found.threads,
            "batch_threads": settings.batch_threads or found.batch_threads,
            "micro_batch_tokens": settings.micro_batch_tokens or found.micro_batch,
            "use_extra_buffers": "on" if use_extra_buffers else "off",
        }
    )


def _summary(found: Tuning) -> str:
    return (
        f"{found.threads} threads for single rows, {found.batch_threads} for several, "
        f"micro-batches of {found.micro_batch}"
    )


class _Memory:
    """Two small files: whether repacked weights work is known per kind of model file, everything
    else per model, cores and the settings it depends on."""

    def __init__(
        self, folder: Path, fingerprint: str, path: Path, settings: EngineSettings
    ) -> None:
        self._survival_file = folder / "extra_buffers.json"
        self._tuning_file = folder / "tuning.json"
        self._fingerprint = fingerprint
        facts = (
            fingerprint,
            path.stat().st_size,
            core_numbers(),
            sorted(settings.model_dump(mode="json", include=_RELEVANT).items()),
        )
        self._key = hashlib.sha256(repr(facts).encode()).hexdigest()
        self._name = path.name

    def survives(self) -> bool | None:
        known = _read(self._survival_file).get(self._fingerprint)
        return known if isinstance(known, bool) else None

    def remember_survival(self, survives: bool) -> None:
        _write(self._survival_file, self._fingerprint, survives)

    def record(self) -> _Record:
        try:
            known = _read(self._tuning_file)[self._key]
            passes = tuple(Pass(**one) for one in known["passes"])
            return _Record(int(known["tries"]), passes, int(known["measured_at"]))
        except (KeyError, TypeError, ValueError):
            return _Record()

    def remember(self, record: _Record) -> None:
        passes = [asdict(one) for one in record.passes]
        entry = {
            "model": self._name,
            "tries": record.tries,
            "measured_at": record.measured_at,
            "passes": passes,
        }
        _write(self._tuning_file, self._key, entry)


def _read(path: Path) -> dict[str, Any]:
    """What is on file; a missing or damaged file only means asking again."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, key: str, value: object) -> None:
    """Replace the file in one step; failing to remember is not an error."""
    content = {**_read(path), key: value}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(content, indent=1, sort_keys=True).encode())
    except OSError as error:
        _log.warning("cannot remember in %s what was measured: %s", path, error)
