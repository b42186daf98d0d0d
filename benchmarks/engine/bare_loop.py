"""The limit: ``llama_decode`` in a loop, nothing sampled, nothing kept, nothing sent.

What is left when an engine costs nothing. Imported by the benchmarks that compare with it; as a
script it prints its own figures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import llama_cpp.llama_cpp as llama

from benchmarks import common

QUESTION = "How fast is the model when nothing is done with its output?"
_ROWS = 512


class BareLoop:
    """One context; as many threads as cores, which is what the embedded engine takes by default,
    and no flash attention, which is what ``attention.py`` recommends for processors."""

    def __init__(
        self,
        model: common.Model,
        *,
        sequences: int = 8,
        threads: int | None = None,
        flash_attention: bool = False,
    ) -> None:
        llama.llama_backend_init()
        model_params = llama.llama_model_default_params()
        model_params.use_extra_bufts = model.extra_buffers
        self._sequences = sequences
        self._model: Any = llama.llama_model_load_from_file(os.fsencode(model.path), model_params)
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

    def prefill(self, prompts: Sequence[Sequence[int]], *, known: int = 0) -> float:
        """Seconds to read all prompts, in full batches, behind the ``known`` tokens that each
        shares with what was read before; forgets everything else."""
        for sequence in range(self._sequences):
            llama.llama_memory_seq_rm(self._memory, sequence, known, -1)
        rows = [
            (token, place, sequence, place == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for place, token in enumerate(prompt)
            if place >= known
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

    def answer(self, prompts: Sequence[Sequence[int]], tokens: int) -> float:
        """Seconds for ``tokens`` after each prompt; the first come with the prompt itself."""
        return self.prefill(prompts) + self.decode([len(p) for p in prompts], tokens - 1)

    def close(self) -> None:
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (token, place, sequence, wants_logits) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = place
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wants_logits
        if llama.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        llama.llama_synchronize(self._context)


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, long_prompt = (8, 64) if options.smoke else (64, 1500)
    model = common.embedded_model()
    loop = BareLoop(model)
    loop.answer([range(100, 140)], 4)
    prefill = [
        long_prompt / loop.prefill([range(100, 100 + long_prompt)]) for _ in range(options.repeats)
    ]
    rows: list[common.Row] = [
        {"work": f"prefill of {long_prompt} tokens", "tok/s": common.median(prefill)}
    ]
    for streams in (1, 2, 4, 8):
        lengths = [40] * streams
        rates = []
        for _ in range(options.repeats):
            loop.prefill([range(100, 140)] * streams)
            rates.append(streams * tokens / loop.decode(lengths, tokens))
        rows.append({"work": f"decode, {streams} streams", "tok/s": common.median(rates)})
    loop.close()
    common.report(QUESTION, rows, environment=common.environment(model))


if __name__ == "__main__":
    main()
