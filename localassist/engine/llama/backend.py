"""One llama.cpp context whose unified KV cache holds every sequence.

Every return code is checked. Decides nothing: which rows to run and which cells to keep is the
scheduler's business.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp.llama_cpp as llama
import numpy as np

from localassist.engine.backend import BackendError, Batch, Limits, Logits, ModelInfo
from localassist.engine.config import EngineSettings, Switch
from localassist.engine.footprint import affordable_cells, cell_bytes
from localassist.engine.llama.library import build_facts
from localassist.engine.llama.model import LlamaModel, file_facts
from localassist.engine.machine import free_memory_bytes, usable_cores
from localassist.errors import ModelLoadFailed

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_log = logging.getLogger("localassist.engine.llama")

_CACHE_TYPES = {
    "f32": llama.GGML_TYPE_F32,
    "f16": llama.GGML_TYPE_F16,
    "q8_0": llama.GGML_TYPE_Q8_0,
    "q4_0": llama.GGML_TYPE_Q4_0,
}
_FLASH_ATTENTION: dict[Switch, int] = {"auto": -1, "on": 1, "off": 0}
_LOGITS_ROWS = 64
_PIECE = struct.Struct("<iiiQ")
"""Before each piece of saved cells: its first position, its end, the end of the last piece, and its
bytes. Ends are one after the last position."""


class LlamaBackend:
    """A GGUF model and one context. See ``Backend`` for the contract and the threads."""

    def __init__(
        self,
        path: Path,
        settings: EngineSettings,
        *,
        use_extra_buffers: bool,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """``progress``: see ``LlamaModel``."""
        self._context: Any = None
        self._model = LlamaModel(
            path, settings, use_extra_buffers=use_extra_buffers, progress=progress
        )
        try:
            self._limits = self._create_context(settings)
            self._model.apply_adapters(self._context, settings.lora)
            self._fingerprint = self._fingerprint_of(settings, use_extra_buffers)
        except BaseException:
            self.close()
            raise
        self._memory: Any = llama.llama_get_memory(self._context)
        self._scratch = self._limits.sequence_ids  # the one id that no slot uses
        self._piece_cells = self._model.attention_window or self._limits.cells
        self._columns = _BatchColumns(self._limits.batch_rows)
        self._logits = _LogitsRows(self._context, self._limits, self._model.vocab_size)

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def model(self) -> ModelInfo:
        return self._model.info

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return self._model.tokenize(text, parse_special=parse_special)

    def token_bytes(self, token: int) -> bytes:
        return self._model.token_bytes(token)

    def grammar_tokenizer(self) -> LLTokenizer:
        return self._model.grammar_tokenizer()

    def forward(self, batch: Batch) -> None:
        code = llama.llama_decode(self._context, self._columns.fill(batch))
        if code != 0:
            raise BackendError(f"llama_decode returned {code} for {len(batch)} rows")
        llama.llama_synchronize(self._context)  # on a GPU the pass has only been launched
        self._logits.expect(batch.wants_logits)

    def logits(self, row: int) -> Logits:
        return self._logits.row(row)

    def copy_cells(self, source: int, target: int, start: int, end: int) -> None:
        llama.llama_memory_seq_cp(self._memory, source, target, start, end)

    def drop_cells(self, slot: int, start: int = 0) -> None:
        self._remove(slot, start, -1)

    def drop_range(self, slot: int, start: int, end: int) -> None:
        self._remove(slot, start, end)

    def save_cells(self, slot: int) -> memoryview:
        """Layers with a sliding window save only the last window of a sequence. So that any part
        of the cells can be used again, they are saved a window at a time."""
        start, end = self._positions(slot)
        step = self._piece_cells
        edges = [start, *range((start // step + 1) * step, end, step), end]
        pieces = [
            self._save_piece(slot, first, last, end)
            for first, last in zip(edges, edges[1:], strict=False)
        ]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def load_cells(self, slot: int, data: memoryview) -> bool:
        """Refuses data of another layout or length. Single wrong values inside the cells are not
        noticed: whoever keeps data where it can be damaged keeps a checksum."""
        pieces = _split_pieces(data)
        if pieces and all(self._load_piece(slot, *piece) for piece in pieces):
            return True
        self.drop_cells(slot)
        return False

    def set_threads(self, threads: int) -> None:
        """Compute with this many threads from the next pass on, whatever its rows."""
        llama.llama_set_n_threads(self._context, threads, threads)

    def close(self) -> None:
        if self._context is not None:
            llama.llama_free(self._context)
            self._context = None
        self._model.close()

    def _remove(self, slot: int, start: int, end: int) -> None:
        if not llama.llama_memory_seq_rm(self._memory, slot, start, end):
            raise BackendError(f"slot {slot} cannot drop its cells from {start} on")

    def _positions(self, slot: int) -> tuple[int, int]:
        """First position of a slot, and one after its last; both are 0 when it is empty."""
        first = llama.llama_memory_seq_pos_min(self._memory, slot)
        last = llama.llama_memory_seq_pos_max(self._memory, slot)
        return max(first, 0), last + 1

    def _save_piece(self, slot: int, start: int, end: int, last_end: int) -> memoryview:
        self.copy_cells(slot, self._scratch, start, end)
        try:
            if self._positions(self._scratch) != (start, end) or start == end:
                raise BackendError(f"slot {slot} has no cells from {start} to {end}")
            size = llama.llama_state_seq_get_size(self._context, self._scratch)
            head = _PIECE.pack(start, end, last_end, size)
            buffer = np.empty(len(head) + size, dtype=np.uint8)
            buffer[: len(head)] = np.frombuffer(head, dtype=np.uint8)
            written = llama.llama_state_seq_get_data(
                self._context, _bytes_pointer(buffer[len(head) :]), size, self._scratch
            )
        finally:
            self.drop_cells(self._scratch)
        if written != size:
            raise BackendError(f"cells of slot {slot} cannot be saved: {written} of {size} bytes")
        return buffer.data

    def _load_piece(self, slot: int, start: int, end: int, data: memoryview) -> bool:
        raw = np.frombuffer(data, dtype=np.uint8)
        read = llama.llama_state_seq_set_data(
            self._context, _bytes_pointer(raw), len(raw), self._scratch
        )
        is_whole = read == len(raw) and self._positions(self._scratch) == (start, end)
        if is_whole:
            self.copy_cells(self._scratch, slot, start, end)
        self.drop_cells(self._scratch)
        return is_whole

    def _create_context(self, settings: EngineSettings) -> Limits:
        trained = self._model.trained_context
        cores = usable_cores()
        params = llama.llama_context_default_params()
        params.n_ctx = self._affordable_cells(settings)
        params.n_batch = settings.batch_tokens
        params.n_ubatch = min(settings.micro_batch_tokens or settings.batch_tokens, params.n_batch)
        params.n_seq_max = ids = self._sequence_ids(settings)
        # llama.cpp keeps a row of logits per sequence id, whatever is asked for.
        params.n_outputs_max = max(min(settings.batch_tokens, _LOGITS_ROWS), ids)
        params.n_outputs_max_per_seq = 0
        params.n_threads = settings.threads or cores
        params.n_threads_batch = settings.batch_threads or cores
        params.type_k = _CACHE_TYPES[settings.cache_type_k]
        params.type_v = _CACHE_TYPES[settings.cache_type_v]
        params.flash_attn_type = _FLASH_ATTENTION[_flash_attention(settings)]
        params.kv_unified = True
        params.swa_full = True  # sliding-window models could not share prefixes otherwise
        self._context = llama.llama_init_from_model(self._model.handle, params)
        if not self._context:
            self._context = None
            raise ModelLoadFailed(
                f"llama.cpp cannot create a context of {params.n_ctx} tokens for "
                f"{self._model.path.name}."
            )
        cells = llama.llama_n_ctx(self._context)
        return Limits(
            cells=cells,
            context_length=min(trained or cells, cells),
            sequence_ids=ids - 1,
            batch_rows=settings.batch_tokens,
            logits_rows=min(settings.batch_tokens, max(_LOGITS_ROWS, settings.max_sequences)),
            can_truncate=not self._model.is_recurrent,
            cell_bytes=cell_bytes(self._model.sizes, settings),
        )

    def _sequence_ids(self, settings: EngineSettings) -> int:
        """One per slot, and one more to save and load through. A recurrent model allocates a state
        for each, and shares none."""
        if self._model.is_recurrent:
            return settings.max_sequences + 1
        most: int = llama.llama_max_parallel_sequences()
        return min(settings.sequence_ids + 1, most)

    def _affordable_cells(self, settings: EngineSettings) -> int:
        trained = self._model.trained_context
        affordable = affordable_cells(self._model.sizes, settings, trained, free_memory_bytes())
        if trained is not None and settings.context_tokens is None and affordable < trained:
            _log.warning(
                "%s was trained for %d tokens; memory is free for %d. Set engine.context_tokens to "
                "choose another number.",
                self._model.path.name,
                trained,
                affordable,
            )
        return affordable

    def _fingerprint_of(self, settings: EngineSettings, use_extra_buffers: bool) -> str:
        facts = (
            build_facts(),
            file_facts(self._model.path),
            [(file_facts(adapter.path), adapter.scale) for adapter in settings.lora],
            (settings.cache_type_k, settings.cache_type_v, _flash_attention(settings)),
            (settings.gpu_layers, use_extra_buffers, self._layout()),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _layout(self) -> tuple[object, ...]:
        """Some models turn positions differently once the context exceeds their first training."""
        metadata = self._model.metadata
        architecture = metadata("general.architecture")
        original = metadata(f"{architecture}.rope.scaling.original_context_length")
        is_long = original is not None and self._limits.cells > int(original)
        return _PIECE.format, self._model.attention_window, is_long


def _split_pieces(data: memoryview) -> list[tuple[int, int, memoryview]]:
    """Start, end and contents of each piece; none where heads and lengths do not fit together."""
    pieces: list[tuple[int, int, memoryview]] = []
    ends: set[int] = set()
    offset = next_start = 0
    while offset + _PIECE.size <= len(data):
        start, end, last_end, size = _PIECE.unpack_from(data, offset)
        offset += _PIECE.size
        is_next = not pieces or start == next_start
        if not (is_next and 0 <= start < end and size <= len(data) - offset):
            return []
        pieces.append((start, end, data[offset : offset + size]))
        ends.add(last_end)
        offset += size
        next_start = end
    return pieces if offset == len(data) and ends == {next_start} else []


def _bytes_pointer(buffer: Any) -> Any:
    return ctypes.cast(buffer.ctypes.data, ctypes.POINTER(ctypes.c_uint8))


def _flash_attention(settings: EngineSettings) -> Switch:
    """``auto`` on a CPU is off: passes of fewer than 64 rows, which is all but long prompts, take
    two to eight times as long with it (``benchmarks/engine/attention.py``). A quantized V cache
    needs it."""
    is_quantized = settings.cache_type_v in ("q8_0", "q4_0")
    if settings.flash_attention != "auto" or settings.gpu_layers != 0 or is_quantized:
        return settings.flash_attention
    return "off"


class _LogitsRows:
    """The logits of the last pass: llama.cpp keeps those of the rows that wanted them one after
    the other, in the order of the batch. One array over all of them, made anew only when they have
    moved, costs a fraction of one array per row."""

    def __init__(self, context: Any, limits: Limits, vocab_size: int) -> None:
        self._context = context
        self._kept_rows = limits.sequence_ids + 1
        self._vocab_size = vocab_size
        self._rows: Any = None
        self._address = 0
        self._places: dict[int, int] = {}
        self._is_current = False

    def expect(self, wants_logits: list[bool]) -> None:
        """Call after each pass."""
        rows = [row for row, wanted in enumerate(wants_logits) if wanted]
        self._places = {row: place for place, row in enumerate(rows)}
        self._is_current = False

    def row(self, row: int) -> Logits:
        if not self._is_current:
            self._look()
        place = self._places.get(row)
        if place is None:
            raise BackendError(f"row {row} has no logits")
        logits: Logits = self._rows[place]
        return logits

    def _look(self) -> None:
        pointer = llama.llama_get_logits(self._context)
        if not pointer:
            raise BackendError("the last pass left no logits")
        address = ctypes.addressof(pointer.contents)
        count = len(self._places)
        if self._rows is None or address != self._address or count > len(self._rows):
            shape = max(count, self._kept_rows), self._vocab_size
            self._rows = np.ctypeslib.as_array(pointer, shape=shape)
            self._address = address
        self._is_current = True


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
