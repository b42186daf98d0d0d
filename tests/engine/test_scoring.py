"""Log-likelihoods from rows of the scripted backend, dealt out over steps in any way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.backend import Batch
from localassist.engine.batch import Output
from localassist.engine.generation import Scores
from localassist.engine.logprobs import log_probabilities
from localassist.engine.scoring import Scoring
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.engine.sequence import Sequence
from localassist.errors import GenerationFailed


def rows_of(backend: ScriptedBackend, sequence: Sequence, start: int, end: int) -> list[Output]:
    """Compute a sequence anew and read the wanted rows of positions ``start`` to ``end``."""
    backend.drop_cells(0)
    tokens = sequence.tokens[:end]
    wanted = [position >= start for position in range(end)]
    backend.forward(Batch(tokens, list(range(end)), [0] * end, wanted))
    return [Output(sequence, position, position) for position in range(start, end)]


def expected(backend: ScriptedBackend, tokens: list[int], token: int) -> float:
    logits = backend._compute_logits(tokens).astype(np.float64)
    return float(logits[token] - np.log(np.exp(logits).sum()))


@given(
    continuations=st.lists(st.lists(st.integers(97, 122), max_size=6), min_size=1, max_size=4),
    rows=st.integers(1, 4),
    repeats=st.booleans(),
    at_once=st.integers(1, 5),
)
def test_scores_equal_teacher_forcing_however_the_rows_are_dealt(
    continuations: list[list[int]], rows: int, repeats: bool, at_once: int
) -> None:
    """``repeats``: as after a preemption, every step shows all earlier rows again."""
    backend = ScriptedBackend()
    prompt = list(b"a prompt")
    scoring = Scoring(prompt, continuations, backend, at_once=at_once)
    (leader,) = scoring.start().start
    end = len(prompt)
    progress = scoring.advance(rows_of(backend, leader, end - 1, end))
    assert progress.done == (leader,)
    result = progress.end
    followers = list(progress.start)
    while followers:
        assert len(followers) <= at_once
        follower = followers.pop(0)
        first = len(prompt)
        while first < len(follower.tokens):
            last = min(first + rows, len(follower.tokens))
            start = len(prompt) if repeats else first
            progress = scoring.advance(rows_of(backend, follower, start, last))
            first = last
        assert progress.done == (follower,)
        followers += progress.start
        result = progress.end
    assert isinstance(result, Scores)
    for tokens, values in zip(continuations, result.values, strict=True):
        assert values == pytest.approx(
            [expected(backend, prompt + tokens[:i], token) for i, token in enumerate(tokens)],
            abs=1e-5,
        )


def test_tokens_that_may_not_come_are_infinitely_unlikely() -> None:
    logits = np.array([0.0, -np.inf, 0.0], dtype=np.float32)
    assert log_probabilities(logits, [0, 1]) == pytest.approx([-np.log(2), -np.inf])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_figures_that_are_no_numbers_are_no_scores(broken: float) -> None:
    logits = np.array([0.0, broken, 0.0], dtype=np.float32)
    with pytest.raises(GenerationFailed):
        log_probabilities(logits, [0])
