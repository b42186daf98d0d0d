"""The llama.cpp library itself: started once, its output forwarded, its build told apart.

llama.cpp's own output goes to the logger ``localassist.engine.llama``.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama

from localassist.errors import ModelLoadFailed

_log = logging.getLogger("localassist.engine.llama")
_LOG_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.DEBUG}
"""llama.cpp is talkative: its infos are our debugging, its errors come back as return codes."""

Metadata = Callable[[str], "str | None"]
"""Values of a model's GGUF header by key, as text; None where the key is missing."""


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _forward_log(level: int, text: bytes, _: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line:
        _log.log(_LOG_LEVELS.get(level, logging.DEBUG), "%s", line)


def initialize() -> None:
    """Start the library. Harmless when it runs already."""
    llama.llama_log_set(_forward_log, ctypes.c_void_p(0))
    llama.llama_backend_init()


@contextmanager
def open_header(path: Path) -> Iterator[Any]:
    """A model with its metadata and vocabulary, without its weights. Raises ModelLoadFailed."""
    initialize()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp cannot read the header of {path.name}.")
    try:
        yield model
    finally:
        llama.llama_model_free(model)


def metadata_of(model: Any) -> Metadata:
    """Reads the metadata of a model for as long as it is loaded."""

    def read(key: str) -> str | None:
        buffer = ctypes.create_string_buffer(256)
        length = llama.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None

    return read


def build_facts() -> tuple[object, ...]:
    """What tells one build of the library on one kind of processor from another."""
    return (
        llama.llama_version(),
        llama.llama_print_system_info(),
        Path(llama._lib._name).stat().st_size,
        llama.LLAMA_STATE_SEQ_VERSION,
    )


def runtime_fingerprint(model_path: Path) -> str:
    """Changes with whatever may change which CPU kernels run: library version, build and features,
    processor, and the quantization of the model. Reads the file's header only."""
    with open_header(model_path) as model:
        metadata = metadata_of(model)
        model_facts = metadata("general.file_type"), metadata("general.architecture")
    facts = (
        *build_facts(),
        Path(llama._lib._name).stat().st_mtime_ns,
        platform.machine(),
        _processor_name(),
        *model_facts,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
