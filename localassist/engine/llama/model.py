"""A model's weights, vocabulary and LoRA adapters, without a context."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp.llama_cpp as llama

from localassist.engine.backend import BackendError, ModelInfo
from localassist.engine.config import EngineSettings, LoraAdapter
from localassist.engine.llama.library import (
    Metadata,
    initialize,
    metadata_of,
)
from localassist.errors import ModelLoadFailed

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_SIZES = (
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "block_count",
    "embedding_length",
)
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 1024


class LlamaModel:
    """Loaded weights and what the file says about itself.

    ``tokenize``, ``token_bytes`` and ``grammar_tokenizer`` may be called from any thread.
    """

    def __init__(
        self,
        path: Path,
        settings: EngineSettings,
        *,
        use_extra_buffers: bool,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """``progress`` is told the loaded part from 0 to 1. What it raises stops the loading and is
        raised here."""
        initialize()
        self.path = path
        self.handle: Any = _load_weights(path, settings, use_extra_buffers, progress)
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
    def sizes(self) -> dict[str, object]:
        """The header's figures that the size of a KV cell follows from, under their own names."""
        architecture = self.metadata("general.architecture") or ""
        keys = [f"{architecture}.{key}" for key in _SIZES]
        return {
            "general.architecture": architecture,
            **{key: _count(self.metadata, key) for key in keys},
        }

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
            raise ModelLoadFailed(
                f"The LoRA adapter {path.name} does not exist or is no file; correct its path in "
                "the setting engine.lora."
            )
        adapter = llama.llama_adapter_lora_init(self.handle, os.fsencode(path))
        if not adapter:
            raise ModelLoadFailed(
                f"llama.cpp cannot use {path.name} as a LoRA adapter of {self.path.name}: it is no "
                "adapter in GGUF format, or was made for another model. See the setting "
                "engine.lora."
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


def _load_weights(
    path: Path,
    settings: EngineSettings,
    use_extra_buffers: bool,
    progress: Callable[[float], None] | None,
) -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers = settings.gpu_layers
    params.use_extra_bufts = use_extra_buffers
    raised: list[BaseException] = []

    @llama.llama_progress_callback  # type: ignore[untyped-decorator]
    def report(fraction: float, _: object) -> bool:
        try:
            if progress is not None:
                progress(fraction)
        except BaseException as error:  # C code cannot pass it on
            raised.append(error)
        return not raised

    params.progress_callback = report
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    if raised:
        if model:
            llama.llama_model_free(model)
        raise raised[0]
    if not model:
        raise ModelLoadFailed(f"llama.cpp cannot load {path.name}.")
    return model


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
