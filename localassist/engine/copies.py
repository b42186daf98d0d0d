"""Copies of a model with other element types: made, timed against the original, and judged.

Everything heavy runs in child processes. ``python -m localassist.engine.copies`` is the one that
holds an original and a copy and computes the same passes with both in turn, so that a machine that
is slow for a while is slow for both. Knows no names and no registry.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.child import read_request, run_child, say
from localassist.engine.config import EngineSettings
from localassist.engine.machine import usable_cores
from localassist.engine.passes import SEVERAL, SINGLE, Pass, best_of, is_quiet
from localassist.engine.tuning import tuned
from localassist.errors import ModelLoadFailed

if TYPE_CHECKING:
    from localassist.engine.llama.measure import Bench

BITS_PER_WEIGHT = {
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q6_k": 6.6,
    "q5_k_m": 5.7,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_k_m": 4.9,
    "q4_1": 5.0,
    "q4_0": 4.5,
    "iq4_nl": 4.5,
}
"""The types copies can have, and about how large they make a model."""

PAYS = 1.15
"""A copy must prefill or decode this many times as fast as its original."""

MOST_DIVERGENCE = 0.02
LEAST_AGREEMENT = 0.9
"""And expect nearly the same. Where two tokens are about as likely, rounding alone decides between
them: weights that are just as good choose otherwise at one place in twenty. What is really lost
shows in the divergence."""

_NO_SLOWER = 0.95  # what a copy gains in one kind of pass it must not lose in another
_PREFILL = 256
_ROUNDS, _QUIET_ROUNDS = 5, 3
_TIMING_SECONDS = 20.0  # a round that has begun is finished
_COMPARE_SECONDS = 600.0
_QUANTIZE_SECONDS = 1800.0
_SPARE_MEMORY = 512 * 2**20  # contexts and buffers of both models

# Written for this purpose: prose, talk, figures, code and data, as conversations have them.
_TEXT = """\
The harbour lies below the old town, and every morning the fishing boats come back before the shops
open. Ice is shovelled into boxes, the catch is weighed, and by eight o'clock most of it has been
sold. What is left goes to the small restaurant on the quay, whose cook decides about the menu only
when she has seen what there is.

User: How do I find out how much memory a process uses?
Assistant: On Linux, read the file /proc/PID/status and look for the line that starts with VmRSS. It
shows the memory in kilobytes that is in use right now. The command "ps -o rss= -p PID" prints the
same number. Note that memory shared with other processes is counted in each of them.

In 2019 the company sold 1,240 machines, in 2020 only 980, and in 2021 again 1,310. The average of
the three years is therefore 1,177, about five percent less than in the best year.

def mean(values):
    if not values:
        raise ValueError("no values")
    return sum(values) / len(values)

{"name": "get_weather", "arguments": {"city": "Lisbon", "unit": "celsius", "days": 3}}
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second: reading a prompt, and answering one or eight conversations."""

    prefill: float
    decode: float
    decode_several: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A copy beside its original. ``agreement`` is the share of places where both choose the same
    token, ``divergence`` the mean Kullback-Leibler divergence in nats. ``was_quiet`` is False where
    other programs disturbed even the best readings."""

    original: Speed
    copy: Speed
    agreement: float
    divergence: float
    perplexity: float
    copy_perplexity: float
    was_quiet: bool = True

    @property
    def gains(self) -> tuple[float, float, float]:
        """Copy over original: prefill, decode, decode of eight."""
        return (
            self.copy.prefill / self.original.prefill,
            self.copy.decode / self.original.decode,
            self.copy.decode_several / self.original.decode_several,
        )

    @property
    def pays(self) -> bool:
        """Clearly faster at something, slower at nothing, and close enough to the original."""
        is_faster = max(self.gains) >= PAYS and min(self.gains) >= _NO_SLOWER
        is_close = self.agreement >= LEAST_AGREEMENT and self.divergence <= MOST_DIVERGENCE
        return is_faster and is_close

    @property
    def gain(self) -> float:
        """All three gains as one: their geometric mean."""
        return math.prod(self.gains) ** (1 / 3)


def best_copy(comparisons: Iterable[tuple[str, Comparison]]) -> str | None:
    """The type that gains most among those that pay; None where none does."""
    paying = [(comparison.gain, name) for name, comparison in comparisons if comparison.pays]
    return max(paying)[1] if paying else None


def estimate_bytes(size_bytes: int, quantization: str | None, file_type: str) -> int:
    """Rather too much than too little: about how large a copy will be."""
    known = BITS_PER_WEIGHT.get((quantization or "").lower(), 4.5)
    return int(size_bytes * max(BITS_PER_WEIGHT[file_type] / known, 0.5) * 1.1)


def needed_memory(size_bytes: int, copy_bytes: int) -> int:
    """Bytes that a comparison holds at once: both models, their contexts and buffers."""
    return size_bytes + copy_bytes + _SPARE_MEMORY


def make_copy(source: Path, target: Path, file_type: str) -> None:
    """Write ``target`` in a child process. Raises ModelLoadFailed."""
    request = {
        "source": str(source.resolve()),
        "target": str(target.resolve()),
        "file_type": file_type,
        "threads": usable_cores(),
    }
    outcome = run_child(
        "localassist.engine.llama.quantize", request, timeout_seconds=_QUANTIZE_SECONDS
    )
    if not outcome.ended_well:
        raise ModelLoadFailed(f"llama.cpp cannot write {source.name} as {file_type}.")


def compare(original: Path, copy: Path, settings: EngineSettings, folder: Path) -> Comparison:
    """Time and read with both in one child process, on the threads that are best for the original.
    ``folder`` remembers those. Raises ModelLoadFailed."""
    best = tuned(settings, original, folder)
    unprobed = best.model_copy(update={"use_extra_buffers": settings.use_extra_buffers})
    models = [
        {"path": str(path.resolve()), "settings": chosen.model_dump(mode="json")}
        for path, chosen in ((original, best), (copy, tuned(unprobed, copy, folder)))
    ]
    outcome = run_child(
        "localassist.engine.copies", {"models": models}, timeout_seconds=_COMPARE_SECONDS
    )
    if not outcome.ended_well or not outcome.lines:
        raise ModelLoadFailed(f"{original.name} and {copy.name} cannot be measured.")
    result = outcome.lines[-1]
    return Comparison(
        **{**result, "original": Speed(**result["original"]), "copy": Speed(**result["copy"])}
    )


def main() -> None:
    """The child: both models in memory, the same passes with one and the other."""
    from localassist.engine.llama.measure import Bench

    benches: list[tuple[Bench, EngineSettings]] = []
    for model in read_request()["models"]:
        settings = EngineSettings.model_validate(model["settings"])
        use_extra_buffers = settings.use_extra_buffers == "on"
        bench = Bench(Path(model["path"]), settings, use_extra_buffers=use_extra_buffers)
        benches.append((bench, settings))
    passes = _time(benches)
    original, copy = map(_speed, passes)
    say(
        {
            "original": asdict(original),
            "copy": asdict(copy),
            "was_quiet": all(map(is_quiet, passes)),
            **_read_text(benches[0][0], benches[1][0]),
        }
    )


def _time(benches: Sequence[tuple[Bench, EngineSettings]]) -> list[list[Pass]]:
    """Several rounds; within a round the models take turns."""
    passes: list[list[Pass]] = [[] for _ in benches]
    end = time.monotonic() + _TIMING_SECONDS
    for turn in range(_ROUNDS):
        is_enough = turn >= _QUIET_ROUNDS and all(map(is_quiet, passes))
        if turn > 0 and (is_enough or time.monotonic() > end):
            break
        for rows, repeats in ((SINGLE, 8), (SEVERAL, 3), (_PREFILL, 1)):
            for (bench, settings), found in zip(benches, passes, strict=True):
                size = min(rows, settings.batch_tokens)
                threads = settings.threads if size == 1 else settings.batch_threads
                found += [bench.time_pass(size, threads or usable_cores()) for _ in range(repeats)]
    return passes


def _speed(passes: Iterable[Pass]) -> Speed:
    rates = sorted((one.rows, one.rows / one.seconds) for one in best_of(passes).values())
    (_, decode), *_, (_, prefill) = rates
    return Speed(prefill, decode, dict(rates).get(SEVERAL, prefill))


def _read_text(original: Bench, copy: Bench) -> dict[str, float]:
    """How differently the two models expect the same text to go on."""
    tokens = original.tokenize(_TEXT)[: original.context_tokens]
    places = len(tokens) - 1
    same = 0
    divergence = surprise = copy_surprise = 0.0
    parts = zip(original.read(tokens), copy.read(tokens), strict=True)
    for (following, expected), (_, found) in parts:
        same += int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
        divergence += float((math.e**expected * (expected - found)).sum())
        rows = range(len(following))
        surprise -= float(expected[rows, following].sum())
        copy_surprise -= float(found[rows, following].sum())
    return {
        "agreement": same / places,
        "divergence": divergence / places,
        "perplexity": math.exp(surprise / places),
        "copy_perplexity": math.exp(copy_surprise / places),
    }


if __name__ == "__main__":
    main()
