"""One request inside the engine: what its logits become. Runs on the owner thread only.

``Generation`` turns logits into an answer, ``Scoring`` into log-likelihoods. Both say what to
schedule and what to deliver; queues, cells and threads are not their business.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Protocol

from localassist.core import FinishReason, Usage
from localassist.engine.backend import Backend, Logits, TokenSampler
from localassist.engine.batch import Output
from localassist.engine.detokenizer import Detokenizer
from localassist.engine.grammar import Grammar
from localassist.engine.request import Finished, Generate, Piece
from localassist.engine.sampler import sampling_stages
from localassist.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of a scoring request: one list per continuation."""

    values: list[list[float]]


@dataclass(frozen=True, slots=True)
class Progress:
    """What one call changed: sequences to schedule, sequences that are done, things to deliver.

    With an ``end`` the request is over and all its sequences are done.
    """

    start: tuple[Sequence, ...] = ()
    done: tuple[Sequence, ...] = ()
    piece: Piece | None = None
    end: Finished | Scores | None = None


class Task(Protocol):
    """A request the worker carries out. ``start`` once, ``advance`` per wanted row, ``close``."""

    def start(self) -> Progress: ...

    def advance(self, output: Output) -> Progress: ...

    def close(self) -> None: ...


class Generation:
    """Samples an answer token by token, under a grammar if there is one."""

    def __init__(self, request: Generate, grammar: Grammar | None, backend: Backend) -> None:
        sampling = request.sampling
        self._request = request
        self._grammar = grammar
        self._backend = backend
        self._sampler: TokenSampler | None = None
        self._sequence = Sequence([*request.prompt, *request.continued])
        self._detokenizer = Detokenizer(
            backend.token_bytes,
            sampling.stop,
            respell=lambda text: backend.tokenize(text, parse_special=False),
        )
        self._end_tokens = frozenset(backend.model.end_tokens)
        self._token_limit = backend.limits.context_length
        if sampling.max_tokens is not None:
            self._token_limit = min(self._token_limit, len(request.prompt) + sampling.max_tokens)

    def start(self) -> Progress:
        """Replay ``continued``, then place whatever the grammar forces before the first pass."""
        continued = self._request.continued
        self._sampler = self._backend.create_sampler(sampling_stages(self._request.sampling))
        for token in continued:
            self._sampler.accept(token)
        if self._grammar is not None:
            self._grammar.accept(continued)
        pieces: list[Piece] = []
        reason = self._follow_grammar(pieces)
        if reason is None and self._is_full:
            reason = "length"
        if reason is not None:
            return self._finish(reason, pieces)
        return Progress(start=(self._sequence,), piece=_merge(pieces))

    def advance(self, output: Output) -> Progress:
        """Choose the next token from the row's logits."""
        assert self._sampler is not None, "start comes first"
        if self._grammar is not None:
            self._grammar.mask(self._backend.logits(output.row))
        token = self._sampler.sample(output.row)
        if token in self._end_tokens:
            return self._finish("stop", [])
        if self._grammar is not None:
            self._grammar.accept((token,))
        pieces: list[Piece] = []
        reason = self._append(token, pieces)
        if reason != "stop":
            reason = self._follow_grammar(pieces) or reason
        if reason is not None:
            return self._finish(reason, pieces)
        return Progress(piece=_merge(pieces))

    def close(self) -> None:
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    @property
    def _is_full(self) -> bool:
        return len(self._sequence.tokens) >= self._token_limit

    def _append(self, token: int, pieces: list[Piece]) -> FinishReason | None:
        """Add a token to the sequence and its text to ``pieces``; says whether that was the end."""
        self._sequence.tokens.append(token)
        piece = self._detokenizer.push(token)
        if piece is not None:
            pieces.append(piece)
        if self._detokenizer.is_stopped:
            return "stop"
        return "length" if self._is_full else None

    def _follow_grammar(self, pieces: list[Piece]) -> FinishReason | None:
        """Append the tokens the grammar forces; they need no sampling, only a later prefill."""
        if self._grammar is None:
            return None
        if self._grammar.is_complete():
            return "stop"
        if self._is_full:
            return "length"
        assert self._sampler is not None
        forced = self._grammar.forced()
        for token in forced:
            if token in self._end_tokens:
                return "stop"
            self._grammar.accept((token,))
            self._sampler.accept(token)
            reason = self._append(token, pieces)
            if self._grammar.is_complete():
                return "stop"
            if reason is not None:
                return reason
        return None

    def _finish(self, reason: FinishReason, pieces: list[Piece]) -> Progress:
        last = self._detokenizer.flush()
        if last is not None:
            pieces.append(last)
        prompt_tokens = len(self._request.prompt)
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=len(self._sequence.tokens) - prompt_tokens,
            cached_tokens=min(self._sequence.cached_tokens or 0, prompt_tokens),
        )
        return Progress(piece=_merge(pieces), end=Finished(reason, usage))


def _merge(pieces: list[Piece]) -> Piece | None:
    if len(pieces) <= 1:
        return pieces[0] if pieces else None
    text = "".join(piece.text for piece in pieces)
    return Piece(text, tuple(token for piece in pieces for token in piece.token_ids))


class Scoring:
    """Log-likelihoods of continuations of one prompt.

    First the prompt alone, whose last row serves the first token of every continuation; then one
    sequence per longer continuation, all sharing the prompt's cells.
    """

    def __init__(
        self, prompt: Items[int], continuations: Items[Items[int]], backend: Backend
    ) -> None:
        self._backend = backend
        self._prompt = list(prompt)
        self._continuations = [list(tokens) for tokens in continuations]
        self._values: list[list[float]] = [[] for _ in continuations]
        self._leader = Sequence(list(prompt), scored_from=len(prompt) - 1)
        self._followers: dict[Sequence, int] = {}

    def start(self) -> Progress:
        return Progress(start=(self._leader,))

    def advance(self, output: Output) -> Progress:
        logits = self._backend.logits(output.row)
        if output.sequence is self._leader:
            return self._score_first_tokens(logits)
        index = self._followers[output.sequence]
        tokens, values = self._continuations[index], self._values[index]
        scored = output.position + 1 - len(self._prompt)
        if scored == len(values):  # a preempted sequence shows its earlier rows again
            values.append(_log_probabilities(logits, [tokens[scored]])[0])
        if len(values) < len(tokens):
            return Progress()
        del self._followers[output.sequence]
        return Progress(done=(output.sequence,), end=self._end())

    def close(self) -> None:
        """Nothing is held outside Python."""

    def _score_first_tokens(self, logits: Logits) -> Progress:
        scored = [i for i, tokens in enumerate(self._continuations) if tokens]
        first = _log_probabilities(logits, [self._continuations[i][0] for i in scored])
        for index, value in zip(scored, first, strict=True):
            self._values[index].append(value)
        for index in scored:
            tokens = self._continuations[index]
            if len(tokens) > 1:
                follower = Sequence(
                    self._prompt + tokens[:-1],
                    scored_from=len(self._prompt),
                    is_disposable=True,
                )
                self._followers[follower] = index
        return Progress(start=tuple(self._followers), done=(self._leader,), end=self._end())

    def _end(self) -> Scores | None:
        return None if self._followers else Scores(self._values)


def _log_probabilities(logits: Logits, tokens: list[int]) -> list[float]:
    """Natural logs of the softmax at ``tokens``."""
    import numpy as np

    highest = logits.max()
    total = np.exp(logits - highest).sum(dtype=np.float64)
    normalizer = float(highest) + float(np.log(total))
    return [float(logits[token]) - normalizer for token in tokens]
