"""The limit: ``llama_decode`` in a loop, nothing sampled, nothing kept, nothing sent.

What is left when an engine costs nothing. ``bare_loop`` opens it in a child process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common
from benchmarks.subjects.process import Subject, details, serve

_ROWS = 512


class BareLoop:
    """One context; by default as many threads as cores, and no flash attention, which is what
    ``engine/attention.py`` recommends for processors."""

    def __init__(
        self,
        path: Path,
        *,
        extra_buffers: bool,
        sequences: int = 16,
        threads: int | None = None,
        flash_attention: bool = False,
    ) -> None:
        import llama_cpp.llama_cpp as llama

        self._llama = llama
        self._silence = llama.llama_log_callback(lambda *_: None)
        llama.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama.llama_backend_init()
        model_params = llama.llama_model_default_params()
        model_params.use_extra_bufts = extra_buffers
        self._sequences = sequences
        self._model: Any = llama.llama_model_load_from_file(os.fsencode(path), model_params)
        params = llama.llama_context_default_params()
        params.n_ctx = 8192
        params.n_batch = params.n_ubatch = _ROWS
        params.n_seq_max = sequences
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = threads or common.cores()
        params.flash_attn_type = int(flash_attention)
        self._context: Any = llama.llama_init_from_model(self._model, params)
        self._memory: Any = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(_ROWS, 0, 1)

    def prefill(self, lengths: Sequence[int], *, known: int = 0) -> float:
        """Seconds to read prompts of these lengths, in full batches, behind the ``known`` tokens
        that were read before; forgets everything else."""
        for sequence in range(self._sequences):
            self._llama.llama_memory_seq_rm(self._memory, sequence, known, -1)
        rows = [
            (100 + place % 1000, place, sequence, place == length - 1)
            for sequence, length in enumerate(lengths)
            for place in range(known, length)
        ]
        started = perf_counter()
        for begin in range(0, len(rows), _ROWS):
            self._decode(rows[begin : begin + _ROWS])
        return perf_counter() - started

    def decode(self, lengths: Sequence[int], tokens: int) -> float:
        """Seconds to add ``tokens`` to each sequence, all of them in every step."""
        started = perf_counter()
        for step in range(tokens):
            self._decode([(200 + step, n + step, i, True) for i, n in enumerate(lengths)])
        return perf_counter() - started

    def answer(self, lengths: Sequence[int], tokens: int) -> tuple[float, float]:
        """Seconds to read the prompts, and seconds for the rest of ``tokens`` each: the first ones
        come with the prompts."""
        return self.prefill(lengths), self.decode(lengths, tokens - 1)

    def close(self) -> None:
        self._llama.llama_batch_free(self._batch)
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (token, place, sequence, wants_logits) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = place
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wants_logits
        if self._llama.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        self._llama.llama_synchronize(self._context)


def bare_loop(model: common.Model) -> Subject:
    """The loop in a child: commands ``prefill``, ``decode`` and ``answer``. Warmed up."""
    found = {"path": str(model.path), "extra_buffers": model.measured["use_extra_buffers"] == "on"}
    subject = Subject("benchmarks.subjects.bare", found)
    subject.ask("answer", lengths=[40], tokens=4)
    return subject


def main() -> None:
    found = details()
    loop = BareLoop(Path(found["path"]), extra_buffers=found["extra_buffers"])
    serve({"prefill": loop.prefill, "decode": loop.decode, "answer": loop.answer})
    loop.close()


if __name__ == "__main__":
    main()
