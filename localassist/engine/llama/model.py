"""A model's weights, vocabulary and LoRA adapters, without a context; and the memory it takes."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp.llama_cpp as llama

from localassist.engine.backend import BackendError, ModelInfo
from localassist.engine.config import CacheType, EngineSettings, LoraAdapter
from localassist.engine.llama.library import (
    Metadata,
    initialize,
    metadata_of,
    open_header,
)
from localassist.errors import ModelLoadFailed

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_UNKNOWN_CONTEXT, _LEAST_CONTEXT = 4096, 2048
_BITS_PER_VALUE: dict[CacheType, float] = {"f32": 32, "f16": 16, "q8_0": 8.5, "q4_0": 4.5}
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 1024


class LlamaModel:
    """Loaded weights and what the file says about itself.

    ``tokenize``, ``token_bytes`` and ``grammar_tokenizer`` may be called from any thread.
    """

    def __init__(self, path: Path, settings: EngineSettings, *, use_extra_buffers: bool) -> None:
        initialize()
        self.path = path
        self.handle: Any = _load_weights(path, settings, use_extra_buffers=use_extra_buffers)
        try:
            self._vocab: Any = llama.llama_model_get_vocab(self.handle)
            self.vocab_size: int = llama.llama_vocab_n_tokens(self._vocab)
            self._token_bytes: dict[int, bytes] = {}
            self.metadata = metadata_of(self.handle)
            self.info = self._describe()
            self._adapters = [self._load_adapter(adapter.path) for adapter in settings.lora]
        except BaseException:
            self.close()
            raise

    @property
    def trained_context(self) -> int | None:
        """Tokens of context the model was trained for."""
        tokens: int = llama.llama_model_n_ctx_train(self.handle)
        return tokens if tokens > 0 else None

    @property
    def is_recurrent(self) -> bool:
        """Some or all layers keep one state per sequence, which cannot be rolled back."""
        return bool(
            llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle)
        )

    @property
    def attention_window(self) -> int:
        """Positions that sliding-window layers look back; 0 where there are none."""
        window: int = llama.llama_model_n_swa(self.handle)
        return max(window, 0)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        buffer = (llama.llama_token * size)()
        count = llama.llama_tokenize(
            self._vocab, data, len(data), buffer, size, False, parse_special
        )
        if count < 0:
            raise BackendError(f"llama_tokenize needs room for {-count} tokens, has {size}")
        return list(buffer[:count])

    def token_bytes(self, token: int) -> bytes:
        known = self._token_bytes.get(token)
        if known is None:
            known = self._token_bytes[token] = self._render_token(token)
        return known

    def grammar_tokenizer(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        # llguidance marks special tokens by a byte that no text contains.
        tokens = [
            b"\xff" + self.token_bytes(token)
            if self._is_special(token)
            else self.token_bytes(token)
            for token in range(self.vocab_size)
        ]
        build: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]
        tokenizer: LLTokenizer = build(
            tokens=tokens,
            vocab_ptr=self._vocab,
            tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=list(self.info.end_tokens),
            slices=None,
        )
        return tokenizer

    def apply_adapters(self, context: Any, adapters: Sequence[LoraAdapter]) -> None:
        """Make ``context`` compute with the adapters that were loaded with the model."""
        count = len(adapters)
        handles = (llama.llama_adapter_lora_p_ctypes * count)(*self._adapters)
        scales = (ctypes.c_float * count)(*(adapter.scale for adapter in adapters))
        if count and llama.llama_set_adapters_lora(context, handles, count, scales) != 0:
            raise ModelLoadFailed(
                f"llama.cpp cannot apply the LoRA adapters to {self.path.name}: "
                + ", ".join(adapter.path.name for adapter in adapters)
            )

    def close(self) -> None:
        """Free the weights, and the adapters with them. Contexts must be closed before."""
        if self.handle is not None:
            llama.llama_model_free(self.handle)
            self.handle = None

    def _load_adapter(self, path: Path) -> Any:
        if not path.is_file():
            raise ModelLoadFailed(f"The LoRA adapter {path.name} does not exist or is no file.")
        adapter = llama.llama_adapter_lora_init(self.handle, os.fsencode(path))
        if not adapter:
            raise ModelLoadFailed(
                f"llama.cpp cannot use {path.name} as a LoRA adapter of {self.path.name}: it is no "
                "adapter in GGUF format, or was made for another model."
            )
        if llama.llama_adapter_get_alora_n_invocation_tokens(adapter) > 0:
            raise ModelLoadFailed(
                f"The LoRA adapter {path.name} acts only after certain tokens (aLoRA), which is "
                "not supported."
            )
        return adapter

    def _describe(self) -> ModelInfo:
        vocab = self._vocab
        usual_end = llama.llama_vocab_eos(vocab)
        ends = [t for t in range(self.vocab_size) if llama.llama_vocab_is_eog(vocab, t)]
        if usual_end in ends:
            ends.remove(usual_end)
            ends.insert(0, usual_end)
        template = llama.llama_model_chat_template(self.handle, None)
        return ModelInfo(
            vocab_size=self.vocab_size,
            end_tokens=tuple(ends),
            bos_text=self._special_text(llama.llama_vocab_bos(vocab)),
            eos_text=self._special_text(usual_end),
            chat_template=None if template is None else template.decode("utf-8", "replace"),
        )

    def _is_special(self, token: int) -> bool:
        """Control tokens, and tokens of the model's makers that look like them."""
        attributes = llama.llama_vocab_get_attr(self._vocab, token)
        if attributes & llama.LLAMA_TOKEN_ATTR_CONTROL:
            return True
        data = self.token_bytes(token)
        is_added = attributes & llama.LLAMA_TOKEN_ATTR_USER_DEFINED
        return bool(is_added) and data.startswith(b"<") and data.endswith(b">")

    def _special_text(self, token: int) -> str:
        if token < 0:
            return ""
        return self._render_token(token).decode("utf-8", "replace")

    def _render_token(self, token: int) -> bytes:
        if not 0 <= token < self.vocab_size:
            raise BackendError(f"the vocabulary has no token {token}")
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length


def _load_weights(path: Path, settings: EngineSettings, *, use_extra_buffers: bool) -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers = settings.gpu_layers
    params.use_extra_bufts = use_extra_buffers
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp cannot load {path.name}.")
    return model


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes a loaded model takes, before anything was computed."""

    weights: int
    cells: int
    """KV cells of the context, as a number of cells."""
    cell_bytes: int
    buffers: int
    """Logits, and intermediate results of a pass: a rule of thumb."""

    @property
    def total(self) -> int:
        return self.weights + self.cells * self.cell_bytes + self.buffers


def memory_estimate(path: Path, settings: EngineSettings) -> MemoryEstimate:
    """What loading ``path`` with ``settings`` will take. Reads the header only.

    Raises ModelLoadFailed.
    """
    with open_header(path) as model:
        metadata = metadata_of(model)
        architecture = metadata("general.architecture") or ""
        width = _count(metadata, f"{architecture}.embedding_length") or 0
        trained = _count(metadata, f"{architecture}.context_length")
        vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        cell = cell_bytes(metadata, settings)
    cells = settings.context_tokens or affordable_cells(trained, cell, settings)
    rows = max(settings.sequence_ids, 64)
    return MemoryEstimate(
        weights=sum(part.stat().st_size for part in weight_files(path)),
        cells=cells,
        cell_bytes=cell,
        buffers=4 * (2 * rows * vocab + 16 * settings.batch_tokens * width),
    )


def cell_bytes(metadata: Metadata, settings: EngineSettings) -> int:
    """Bytes of one KV cell in all layers together. Sliding windows are kept whole."""
    architecture = metadata("general.architecture") or ""

    def count(key: str) -> int | None:
        return _count(metadata, f"{architecture}.{key}")

    heads = count("attention.head_count") or 1
    head_size = (count("embedding_length") or 0) // heads
    key_size = count("attention.key_length") or head_size
    value_size = count("attention.value_length") or head_size
    bits = (
        _BITS_PER_VALUE[settings.cache_type_k] * key_size
        + _BITS_PER_VALUE[settings.cache_type_v] * value_size
    )
    shared_heads = count("attention.head_count_kv") or heads
    return int((count("block_count") or 0) * shared_heads * bits / 8)


def affordable_cells(trained: int | None, bytes_per_cell: int, settings: EngineSettings) -> int:
    """What the model was trained for, as far as half of the free memory holds its cells."""
    wanted = trained or _UNKNOWN_CONTEXT
    free = _free_memory_bytes()
    if free is None or settings.gpu_layers != 0:
        return wanted
    affordable = max(_LEAST_CONTEXT, free // 2 // max(bytes_per_cell, 1) // 256 * 256)
    return min(wanted, affordable)


def weight_files(path: Path) -> list[Path]:
    """The file, or all of its parts where a model is split (``…-00001-of-00003.gguf``)."""
    stem, separator, total = path.stem.rpartition("-of-")
    base, dash, _ = stem.rpartition("-")
    if not (separator and dash and total.isdigit()):
        return [path]
    parts = [path.with_name(f"{base}-{n:05}-of-{total}{path.suffix}") for n in _parts(total)]
    return [part for part in parts if part.is_file()] or [path]


def _parts(total: str) -> range:
    return range(1, int(total) + 1)


def file_facts(path: Path) -> tuple[object, ...]:
    """Tells a file's contents from another's without reading gigabytes: size, time of the last
    change, and samples from its whole length."""
    facts: list[object] = []
    for part in weight_files(path):
        status = part.stat()
        digest = hashlib.blake2b(digest_size=16)
        with part.open("rb") as file:
            for index in range(_SAMPLES):
                file.seek(status.st_size * index // _SAMPLES)
                digest.update(file.read(_SAMPLE_BYTES))
        facts.append((status.st_size, status.st_mtime_ns, digest.hexdigest()))
    return tuple(facts)


def _count(metadata: Metadata, key: str) -> int | None:
    """A whole number; of an array (one value per layer) the largest."""
    text = metadata(key)
    if text is None:
        return None
    numbers = [int(part) for part in text.strip("[]").split(",") if part.strip().isdigit()]
    return max(numbers, default=None)


def _free_memory_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
