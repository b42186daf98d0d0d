"""The only importer of llama_cpp: its low-level API behind the ``Backend`` protocol.

One context with a unified KV cache holds every sequence. Every return code is checked; llama.cpp's
own output goes to the logger ``localassist.engine.llama``. Decides nothing: which rows to run and
which cells to drop is the scheduler's business.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp.llama_cpp as llama
import numpy as np

from localassist.engine.adjustments import Adjustment, BiasedLogits, PenalizedLogits
from localassist.engine.backend import BackendError, Batch, Limits, Logits, ModelInfo
from localassist.engine.config import EngineSettings, Switch
from localassist.engine.sampler import (
    Draw,
    Greedy,
    LogitBias,
    MinP,
    Penalties,
    Stage,
    Temperature,
    TopK,
    TopP,
)
from localassist.errors import ModelLoadFailed

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_log = logging.getLogger("localassist.engine.llama")
_LOG_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.DEBUG}
"""llama.cpp is talkative: its infos are our debugging, its errors come back as return codes."""

_CACHE_TYPES = {
    "f32": llama.GGML_TYPE_F32,
    "f16": llama.GGML_TYPE_F16,
    "q8_0": llama.GGML_TYPE_Q8_0,
    "q4_0": llama.GGML_TYPE_Q4_0,
}
_FLASH_ATTENTION: dict[Switch, int] = {"auto": -1, "on": 1, "off": 0}
_UNKNOWN_CONTEXT, _LEAST_CONTEXT = 4096, 2048
_SPARE_LOGITS_ROWS = 64


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _forward_log(level: int, text: bytes, _: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line:
        _log.log(_LOG_LEVELS.get(level, logging.DEBUG), "%s", line)


def _initialize() -> None:
    llama.llama_log_set(_forward_log, ctypes.c_void_p(0))
    llama.llama_backend_init()


def runtime_fingerprint(model_path: Path) -> str:
    """Changes with whatever may change which CPU kernels run: library version, build and features,
    processor, and the quantization of the model. Reads the file's header only."""
    _initialize()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(os.fsencode(model_path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp cannot read the header of {model_path.name}.")
    try:
        file_type = _metadata(model, "general.file_type")
        architecture = _metadata(model, "general.architecture")
    finally:
        llama.llama_model_free(model)
    library = Path(llama._lib._name).stat()
    facts = (
        llama.llama_version(),
        llama.llama_print_system_info(),
        library.st_size,
        library.st_mtime_ns,
        platform.machine(),
        _processor_name(),
        file_type,
        architecture,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def _metadata(model: Any, key: str) -> str | None:
    buffer = ctypes.create_string_buffer(256)
    length = llama.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if length >= 0 else None


class LlamaBackend:
    """A GGUF model and one context. See ``Backend`` for the contract and the threads."""

    def __init__(self, path: Path, settings: EngineSettings, *, use_extra_buffers: bool) -> None:
        _initialize()
        self._context: Any = None
        self._path = path
        self._model: Any = _load_model(path, settings, use_extra_buffers=use_extra_buffers)
        try:
            self._vocab: Any = llama.llama_model_get_vocab(self._model)
            self._vocab_size: int = llama.llama_vocab_n_tokens(self._vocab)
            self._model_info = self._describe()
            self._limits = self._create_context(settings)
        except BaseException:
            self.close()
            raise
        self._memory: Any = llama.llama_get_memory(self._context)
        self._columns = _BatchColumns(self._limits.batch_rows)
        self._token_bytes: dict[int, bytes] = {}

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def model(self) -> ModelInfo:
        return self._model_info

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
            for token in range(self._vocab_size)
        ]
        build: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]
        tokenizer: LLTokenizer = build(
            tokens=tokens,
            vocab_ptr=self._vocab,
            tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=list(self._model_info.end_tokens),
            slices=None,
        )
        return tokenizer

    def create_sampler(self, stages: Sequence[Stage]) -> LlamaSampler:
        return LlamaSampler(self._context, stages, self.logits)

    def forward(self, batch: Batch) -> None:
        code = llama.llama_decode(self._context, self._columns.fill(batch))
        if code != 0:
            raise BackendError(f"llama_decode returned {code} for {len(batch)} rows")

    def logits(self, row: int) -> Logits:
        pointer = llama.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise BackendError(f"row {row} has no logits")
        return np.ctypeslib.as_array(pointer, shape=(self._vocab_size,))

    def copy_sequence(self, source: int, target: int, length: int) -> None:
        llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def truncate_sequence(self, slot: int, length: int) -> None:
        if not llama.llama_memory_seq_rm(self._memory, slot, length, -1):
            raise BackendError(f"sequence {slot} cannot be cut at {length}")

    def close(self) -> None:
        if self._context is not None:
            llama.llama_free(self._context)
            self._context = None
        if self._model is not None:
            llama.llama_model_free(self._model)
            self._model = None

    def _describe(self) -> ModelInfo:
        vocab = self._vocab
        usual_end = llama.llama_vocab_eos(vocab)
        ends = [t for t in range(self._vocab_size) if llama.llama_vocab_is_eog(vocab, t)]
        if usual_end in ends:
            ends.remove(usual_end)
            ends.insert(0, usual_end)
        template = llama.llama_model_chat_template(self._model, None)
        return ModelInfo(
            vocab_size=self._vocab_size,
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
        if not 0 <= token < self._vocab_size:
            raise BackendError(f"the vocabulary has no token {token}")
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _affordable_cells(self, settings: EngineSettings, trained: int) -> int:
        """What the model was trained for, as far as half of the free memory holds its cells."""
        wanted: int = trained if trained > 0 else _UNKNOWN_CONTEXT
        head_size = llama.llama_model_n_embd(self._model) // llama.llama_model_n_head(self._model)
        values = llama.llama_model_n_layer(self._model) * llama.llama_model_n_head_kv(self._model)
        cell_bytes: int = 2 * 2 * values * head_size  # keys and values, two bytes each
        free = _free_memory_bytes()
        if free is None or settings.gpu_layers != 0:
            return wanted
        affordable = max(_LEAST_CONTEXT, free // 2 // max(cell_bytes, 1) // 256 * 256)
        if affordable < wanted:
            _log.warning(
                "%s was trained for %d tokens; memory is free for %d. Set engine.context_tokens to "
                "choose another number.",
                self._path.name,
                wanted,
                affordable,
            )
        return min(wanted, affordable)

    def _create_context(self, settings: EngineSettings) -> Limits:
        trained = llama.llama_model_n_ctx_train(self._model)
        cores = _usable_cores()
        params = llama.llama_context_default_params()
        params.n_ctx = settings.context_tokens or self._affordable_cells(settings, trained)
        params.n_batch = params.n_ubatch = settings.batch_tokens
        params.n_seq_max = settings.sequence_ids
        params.n_outputs_max = min(
            settings.batch_tokens, max(_SPARE_LOGITS_ROWS, settings.sequence_ids)
        )
        params.n_outputs_max_per_seq = 0
        params.n_threads = settings.threads or cores
        params.n_threads_batch = settings.batch_threads or cores
        params.type_k = _CACHE_TYPES[settings.cache_type_k]
        params.type_v = _CACHE_TYPES[settings.cache_type_v]
        params.flash_attn_type = _FLASH_ATTENTION[_flash_attention(settings)]
        params.kv_unified = True
        params.swa_full = True  # sliding-window models could not share prefixes otherwise
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            self._context = None
            raise ModelLoadFailed(
                f"llama.cpp cannot create a context of {params.n_ctx} tokens for {self._path.name}."
            )
        cells = llama.llama_n_ctx(self._context)
        recurrent = llama.llama_model_is_recurrent(self._model)
        hybrid = llama.llama_model_is_hybrid(self._model)
        return Limits(
            cells=cells,
            context_length=min(trained, cells) if trained > 0 else cells,
            sequence_ids=settings.sequence_ids,
            batch_rows=settings.batch_tokens,
            logits_rows=params.n_outputs_max,
            can_truncate=not (recurrent or hybrid),
        )


def _flash_attention(settings: EngineSettings) -> Switch:
    """``auto`` on a CPU is off: passes of fewer than 64 rows, which is all but long prompts, take
    two to eight times as long with it (``benchmarks/engine/attention.py``). A quantized V cache
    needs it."""
    is_quantized = settings.cache_type_v in ("q8_0", "q4_0")
    if settings.flash_attention != "auto" or settings.gpu_layers != 0 or is_quantized:
        return settings.flash_attention
    return "off"


def _free_memory_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _load_model(path: Path, settings: EngineSettings, *, use_extra_buffers: bool) -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers = settings.gpu_layers
    params.use_extra_bufts = use_extra_buffers
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp cannot load {path.name}.")
    return model


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _BatchColumns:
    """A ``llama_batch`` whose columns are numpy arrays: filled by whole slices, allocated once."""

    def __init__(self, rows: int) -> None:
        self._tokens = np.zeros(rows, dtype=np.int32)
        self._positions = np.zeros(rows, dtype=np.int32)
        self._slots = np.zeros(rows, dtype=np.int32)
        self._wants_logits = np.zeros(rows, dtype=np.int8)
        self._slot_counts = np.ones(rows, dtype=np.int32)
        step = self._slots.itemsize
        self._slot_pointers = (
            self._slots.ctypes.data + step * np.arange(rows, dtype=np.uintp)
        ).astype(np.uintp)
        self._batch: Any = llama.llama_batch()
        fields: dict[str, Any] = {name: kind for name, kind, *_ in llama.llama_batch._fields_}
        for name, column in (
            ("token", self._tokens),
            ("pos", self._positions),
            ("n_seq_id", self._slot_counts),
            ("seq_id", self._slot_pointers),
            ("logits", self._wants_logits),
        ):
            setattr(self._batch, name, ctypes.cast(column.ctypes.data, fields[name]))

    def fill(self, batch: Batch) -> Any:
        rows = len(batch)
        self._tokens[:rows] = batch.tokens
        self._positions[:rows] = batch.positions
        self._slots[:rows] = batch.slots
        self._wants_logits[:rows] = batch.wants_logits
        self._batch.n_tokens = rows
        return self._batch


class LlamaSampler:
    """Adjusts the few logits it has to by itself, and takes the highest by itself; the other stages
    are a llama.cpp chain. The chain's penalties and its greedy choice go over the whole vocabulary
    candidate by candidate, which costs more than everything else between two passes.
    """

    def __init__(
        self, context: Any, stages: Sequence[Stage], logits: Callable[[int], Logits]
    ) -> None:
        self._context = context
        self._logits = logits
        self._adjustments: list[Adjustment] = []
        self._chain: Any = None
        for stage in stages:
            match stage:
                case LogitBias():
                    self._adjustments.append(BiasedLogits(stage))
                case Penalties():
                    self._adjustments.append(PenalizedLogits(stage))
                case Greedy():
                    pass
                case _:
                    self._add(stage)

    def sample(self, row: int) -> int:
        logits = self._logits(row)
        undo = []
        for adjustment in self._adjustments:
            tokens = adjustment.tokens
            before = logits[tokens]
            logits[tokens] = adjustment.apply(before)
            undo.append((tokens, before))
        if self._chain is None:
            token = int(logits.argmax())
        else:
            token = int(llama.llama_sampler_sample(self._chain, self._context, row))
        for tokens, before in reversed(undo):
            logits[tokens] = before
        self._remember(token)
        return token

    def accept(self, token: int) -> None:
        if self._chain is not None:
            llama.llama_sampler_accept(self._chain, token)
        self._remember(token)

    def close(self) -> None:
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    def _remember(self, token: int) -> None:
        for adjustment in self._adjustments:
            adjustment.remember(token)

    def _add(self, stage: Stage) -> None:
        if self._chain is None:
            params = llama.llama_sampler_chain_default_params()
            self._chain = llama.llama_sampler_chain_init(params)
        llama.llama_sampler_chain_add(self._chain, _create_stage(stage))


def _create_stage(stage: Stage) -> Any:
    match stage:
        case Temperature(value):
            return llama.llama_sampler_init_temp(value)
        case TopK(k):
            return llama.llama_sampler_init_top_k(min(k, np.iinfo(np.int32).max))
        case TopP(p):
            return llama.llama_sampler_init_top_p(p, 1)
        case MinP(p):
            return llama.llama_sampler_init_min_p(p, 1)
        case Draw(seed):
            return llama.llama_sampler_init_dist(seed)
    raise AssertionError(f"{stage} is no stage of a chain")
