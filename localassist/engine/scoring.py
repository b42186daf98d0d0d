"""One scoring request inside the engine: logits into log-likelihoods. Owner thread only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items

from localassist.engine.backend import Backend, Logits
from localassist.engine.batch import Output
from localassist.engine.generation import Progress, Scores
from localassist.engine.logprobs import log_probabilities
from localassist.engine.sequence import Sequence


class Scoring:
    """Log-likelihoods of continuations of one prompt.

    First the prompt alone, whose last row serves the first token of every continuation; then one
    sequence per longer continuation, all sharing the prompt's cells. Only ``at_once`` of them wait
    or run at a time, so that others need not wait for all.
    """

    def __init__(
        self,
        prompt: Items[int],
        continuations: Items[Items[int]],
        backend: Backend,
        *,
        at_once: int,
    ) -> None:
        self._backend = backend
        self._at_once = at_once
        self._prompt = list(prompt)
        self._continuations = [list(tokens) for tokens in continuations]
        self._values: list[list[float]] = [[] for _ in continuations]
        self._leader = Sequence(list(prompt), scored_from=len(prompt) - 1)
        self._followers: dict[Sequence, int] = {}
        self._not_started: deque[int] = deque()

    def start(self) -> Progress:
        return Progress(start=(self._leader,))

    def advance(self, outputs: Items[Output]) -> Progress:
        sequence = outputs[0].sequence
        if sequence is self._leader:
            return self._score_first_tokens(self._backend.logits(outputs[0].row))
        index = self._followers[sequence]
        tokens, values = self._continuations[index], self._values[index]
        for output in outputs:
            scored = output.position + 1 - len(self._prompt)
            if scored == len(values):  # a preempted sequence shows its earlier rows again
                logits = self._backend.logits(output.row)
                values.append(log_probabilities(logits, [tokens[scored]])[0])
        if len(values) < len(tokens):
            return Progress()
        del self._followers[sequence]
        return Progress(start=self._start_more(), done=(sequence,), end=self._end())

    def close(self) -> None:
        """Nothing is held outside Python."""

    def _score_first_tokens(self, logits: Logits) -> Progress:
        scored = [i for i, tokens in enumerate(self._continuations) if tokens]
        first = log_probabilities(logits, [self._continuations[i][0] for i in scored])
        for index, value in zip(scored, first, strict=True):
            self._values[index].append(value)
        self._not_started.extend(i for i in scored if len(self._continuations[i]) > 1)
        return Progress(start=self._start_more(), done=(self._leader,), end=self._end())

    def _start_more(self) -> tuple[Sequence, ...]:
        started = []
        while self._not_started and len(self._followers) < self._at_once:
            index = self._not_started.popleft()
            follower = Sequence(
                self._prompt + self._continuations[index][:-1],
                scored_from=len(self._prompt),
                is_disposable=True,
            )
            self._followers[follower] = index
            started.append(follower)
        return tuple(started)

    def _end(self) -> Scores | None:
        return None if self._followers else Scores(self._values)
