"""How an embedding model is computed: by PyTorch, or by OpenVINO where its vectors are the same.

Found out once per model, machine and versions of the libraries, in a process of its own, and
remembered beside the converted model. Whatever goes wrong leads to PyTorch.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import signal
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from localassist.child import run_child
from localassist.disk import chunks
from localassist.errors import ModelLoadFailed
from localassist.retrieval.embedders.base import Embedder
from localassist.retrieval.embedders.openvino import OpenVinoEmbedder, Precision
from localassist.retrieval.embedders.sentence import SentenceEmbedder

_log = logging.getLogger(__name__)

Backend = Literal["auto", "torch", "openvino"]

_FORMAT = 1
_LEAST_COSINE = 0.999
_TIMEOUT_SECONDS = 600.0
_RECORD = "choice.json"
_PRECISIONS: dict[str, Precision] = {"openvino-bf16": "bf16", "openvino-f32": "f32"}
# Files beside the weights which no model is computed from.
_IDLE_FOLDERS = {"onnx", "openvino"}
_RELEVANT = {".json", ".txt", ".model", ".safetensors", ".bin"}


async def open_embedder(
    folder: Path, cache: Path, *, backend: Backend = "auto", measuring_seconds: float = 1.0
) -> Embedder:
    """The sentence-transformers model in ``folder``, ready to use.

    ``auto`` takes the fastest way whose vectors agree, ``openvino`` the fastest of OpenVINO's that
    does, ``torch`` nothing else and measures nothing. The first time may take half a minute;
    ``cache`` keeps what is found. Raises ModelLoadFailed.
    """
    if backend != "torch":
        choice = await asyncio.to_thread(_Cache(folder, cache).choice, measuring_seconds)
        way = choose(choice, backend)
        if way != "torch":
            try:
                return await OpenVinoEmbedder.load(Path(choice["folder"]), _PRECISIONS[way])
            except ModelLoadFailed as error:
                _log.warning("%s PyTorch computes it instead.", error.message)
        elif backend == "openvino":
            reason = choice.get("reason", "its vectors would differ")
            _log.warning("The embedding model in %s is computed by PyTorch: %s.", folder, reason)
    return await SentenceEmbedder.load(folder)


def choose(choice: Mapping[str, Any], backend: Backend) -> str:
    """The way to compute a model, by what was found: ``torch``, ``openvino-f32`` or
    ``openvino-bf16``. What was not timed counts as fast as the processor promises."""
    ways = {way["way"]: way for way in choice.get("ways", ())}
    good = [name for name in _PRECISIONS if name in ways and ways[name]["cosine"] >= _LEAST_COSINE]
    if backend == "auto" and "torch" in ways:
        good.append("torch")
    rates = {name: ways[name]["texts_per_second"] or 0.0 for name in good}
    return max(good, key=rates.__getitem__, default="torch")


class _Cache:
    """One model's converted form, and what was found about it: a folder named for the model's
    content, replaced as a whole."""

    def __init__(self, model: Path, cache: Path) -> None:
        self._model = model
        self._cache = cache

    def choice(self, measuring_seconds: float) -> dict[str, Any]:
        """What was found, ``folder`` of the converted model included. Blocks."""
        folder = self._cache / _fingerprint(self._model)
        known = _read(folder)
        if known is not None:
            return {**known, "folder": str(folder)}
        _log.info("Finding out how the embedding model in %s is computed fastest.", self._model)
        try:
            return self._found_out(folder, measuring_seconds)
        except OSError as error:
            return {"reason": f"{self._cache} cannot be written ({error.strerror})"}

    def _found_out(self, folder: Path, measuring_seconds: float) -> dict[str, Any]:
        self._cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._cache))
        try:
            found, is_certain = _ask(self._model, new, measuring_seconds)
            if not is_certain:
                return found
            _write(new, found)
            _replace(folder, new)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return {**found, "folder": str(folder)}


def _ask(model: Path, target: Path, seconds: float) -> tuple[dict[str, Any], bool]:
    """What a child finds, and whether that is certain: one that was stopped tells nothing."""
    request = {"folder": str(model), "target": str(target), "seconds": seconds}
    outcome = run_child(
        "localassist.retrieval.embedders.conversion", request, timeout_seconds=_TIMEOUT_SECONDS
    )
    if outcome.exit_code == -signal.SIGINT:  # Ctrl-C reaches all processes of a terminal
        return {"reason": "its conversion was interrupted"}, False
    if not outcome.ended_well:
        _log.warning("The embedding model in %s cannot be converted for OpenVINO.", model)
        was_stopped = outcome.exit_code is None or outcome.exit_code < 0
        return {"reason": "its conversion failed"}, not was_stopped
    refusals = [line["unsupported"] for line in outcome.lines if "unsupported" in line]
    if refusals:
        return {"reason": refusals[0]}, True
    ways = [line for line in outcome.lines if "way" in line]
    for way in ways:
        _log.info("The embedding model in %s: %s", model, json.dumps(way))
    return {"ways": ways}, True


def _read(folder: Path) -> dict[str, Any] | None:
    """What is remembered; None where nothing is, where it is of other versions or another machine,
    or where a file is damaged."""
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        is_ours = record["circumstances"] == _circumstances()
        if not is_ours or record["checksums"] != _checksums(folder):
            return None
        found: dict[str, Any] = record["found"]
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, found: Mapping[str, Any]) -> None:
    record = {
        "circumstances": _circumstances(),
        "checksums": _checksums(folder),
        "found": dict(found),
    }
    (folder / _RECORD).write_text(json.dumps(record, indent=1), "utf-8")


def _replace(folder: Path, new: Path) -> None:
    """Give a new folder its name; an old one of that name goes. Where another process is as quick,
    either's will do."""
    if folder.exists():
        aside = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
        folder.rename(aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _checksums(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.iterdir() if path.name != _RECORD)
    return {path.name: zlib.crc32(path.read_bytes()) for path in files}


def _circumstances() -> dict[str, Any]:
    """What a finding depends on besides the model."""
    libraries = ("openvino", "torch", "transformers", "sentence-transformers", "tokenizers")
    return {
        "format": _FORMAT,
        "versions": {name: _version(name) for name in libraries},
        "processor": _processor(),
        "cores": _cores(),
    }


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Its name and abilities, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()


def _fingerprint(model: Path) -> str:
    """Of the content of the files that the model is computed from."""
    digest = hashlib.sha256()
    for path in _relevant(model):
        digest.update(f"{path.relative_to(model).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            for chunk in chunks(file):
                digest.update(chunk)
    return digest.hexdigest()


def _relevant(model: Path) -> Iterable[Path]:
    return sorted(
        path
        for path in model.rglob("*")
        if path.suffix in _RELEVANT
        and path.is_file()
        and not _IDLE_FOLDERS & set(path.relative_to(model).parts)
    )
