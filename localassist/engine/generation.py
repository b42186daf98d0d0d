"""One answer inside the engine: what its logits become. Runs on the owner thread only.

A task says what to schedule and what to deliver; queues, cells and threads are not its business.
``Generation`` is the task that turns logits into an answer, ``scoring.Scoring`` the other one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from typing import Protocol

from localassist.core import FinishReason, Usage
from localassist.engine.backend import Backend
from localassist.engine.batch import Output
from localassist.engine.detokenizer import Detokenizer
from localassist.engine.drafts import Drafts
from localassist.engine.grammar import Grammar
from localassist.engine.logprobs import LogprobQueue, read_logprob
from localassist.engine.request import Finished, Generate, Piece
from localassist.engine.sampler import Sampler
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
    forced_tokens: int = 0
    """Tokens of the answer added by this call that the grammar left no choice about."""
    accepted_tokens: int = 0
    """Drafted tokens that this call found right."""


class Task(Protocol):
    """A request the worker carries out. ``start`` once, ``advance`` per step, ``close``."""

    def start(self) -> Progress: ...

    def advance(self, outputs: Items[Output]) -> Progress:
        """Read all wanted rows of one sequence in one step, in order; those of drafted tokens are
        the last. May append to the sequence's ``tokens`` and leaves its next ``draft``."""
        ...

    def close(self) -> None: ...


class Generation:
    """Samples an answer token by token, under a grammar if there is one.

    Rows of guessed tokens are read as long as the guesses are what would have been chosen anyway,
    each by its own mask and its own draw, so drafts change nothing but the number of steps.

    Tokens that the grammar forces are placed without a look at the model. Where log-probabilities
    are asked for, each needs a row; then they are drafts that are always right.
    """

    def __init__(
        self,
        request: Generate,
        grammar: Grammar | None,
        backend: Backend,
        propose_drafts: Callable[[Items[int]], Drafts] | None = None,
    ) -> None:
        """``propose_drafts`` gets the growing list of tokens, prompt and answer; without it
        nothing is guessed."""
        sampling = request.sampling
        self._request = request
        self._grammar = grammar
        self._backend = backend
        self._sampler = Sampler(sampling)
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
        self._drafts: Drafts | None = None
        if propose_drafts is not None and backend.limits.can_truncate:
            self._drafts = propose_drafts(self._sequence.tokens)
        self._draft: list[int] = []  # the last guess; a step checks it or the beginning of it
        self._pieces: list[Piece] = []  # made in the current call
        self._forced = 0
        self._logprobs = None if sampling.top_logprobs is None else LogprobQueue()
        self._certain: deque[int] = deque()  # forced tokens that wait for their rows

    def start(self) -> Progress:
        """Replay ``continued``, then place whatever the grammar forces before the first pass."""
        continued = self._request.continued
        for token in continued:
            self._sampler.accept(token)
        if self._grammar is not None:
            self._grammar.accept(continued)
        reason = self._follow_grammar()
        if reason is None and self._is_full:
            reason = "length"
        if reason is not None:
            return self._finish(reason)
        return Progress(start=(self._sequence,), piece=self._piece(), forced_tokens=self._forced)

    def advance(self, outputs: Items[Output]) -> Progress:
        """Choose the tokens that the rows decide, up to the first wrong guess or the end."""
        self._pieces, self._forced = [], 0
        self._sequence.draft = []
        tokens, known = self._sequence.tokens, len(self._sequence.tokens)
        was_certain = bool(self._certain)
        assert outputs[0].position == known - 1, "the first row follows the last known token"
        accepted = 0
        reason = self._choose(outputs[0].row)
        for output, guess in zip(outputs[1:], self._draft, strict=False):
            if reason is not None or tokens[output.position] != guess:
                break
            accepted += 1
            if output.position + 1 == len(tokens):  # otherwise the grammar has forced the next
                reason = self._choose(output.row)
        if reason is not None:
            return self._finish(reason, accepted)
        if self._drafts is not None and len(outputs) > 1 and not was_certain:
            self._drafts.record(len(outputs) - 1, accepted)
        self._draft = self._guess()
        self._sequence.draft = list(self._draft)
        return Progress(piece=self._piece(), forced_tokens=self._forced, accepted_tokens=accepted)

    def close(self) -> None:
        """Nothing is held outside Python."""

    @property
    def _is_full(self) -> bool:
        return len(self._sequence.tokens) >= self._token_limit

    def _choose(self, row: int) -> FinishReason | None:
        """Add the token that a row's logits decide, and what the grammar forces behind it."""
        logits = self._backend.logits(row)
        untouched = logits if self._logprobs is None else logits.copy()
        if self._certain:
            token = self._certain.popleft()
            self._forced += 1
        else:
            if self._grammar is not None:
                self._grammar.mask(logits)
            index = len(self._sequence.tokens) - len(self._request.prompt)
            token = self._sampler.choose(logits, index)
        if token in self._end_tokens:
            return "stop"
        if self._logprobs is not None:
            top = self._request.sampling.top_logprobs or 0
            self._logprobs.add(read_logprob(untouched, token, top, self._backend.token_bytes))
        if self._grammar is not None:
            self._grammar.accept((token,))
        reason = self._append(token)
        if reason != "stop":
            reason = self._follow_grammar() or reason
        return reason

    def _append(self, token: int) -> FinishReason | None:
        """Add a token and its text to the answer; says whether that was the end."""
        self._sampler.accept(token)
        self._sequence.tokens.append(token)
        self._show(self._detokenizer.push(token))
        if self._detokenizer.is_stopped:
            return "stop"
        return "length" if self._is_full else None

    def _follow_grammar(self) -> FinishReason | None:
        """Add the tokens the grammar forces; they need no sampling, only a later prefill."""
        if self._grammar is None:
            return None
        if self._grammar.is_complete():
            return "stop"
        if self._is_full:
            return "length"
        if self._logprobs is not None:
            return self._expect_forced(self._grammar)
        for token in self._grammar.forced():
            if token in self._end_tokens:
                return "stop"
            self._grammar.accept((token,))
            reason = self._append(token)
            self._forced += 1
            if self._grammar.is_complete():
                return "stop"
            if reason is not None:
                return reason
        return None

    def _expect_forced(self, grammar: Grammar) -> FinishReason | None:
        """Note the tokens the grammar forces, each to be placed when its row is there."""
        if not self._certain:
            self._certain.extend(grammar.forced())
        return "stop" if self._certain and self._certain[0] in self._end_tokens else None

    def _guess(self) -> list[int]:
        """What may come next: nothing behind the end, nothing the grammar refuses."""
        # The row of the last guess decides one more token, which must fit too.
        room = self._token_limit - len(self._sequence.tokens) - 1
        if self._certain:
            can_truncate = self._backend.limits.can_truncate
            return list(self._certain)[:room] if can_truncate else []
        if self._drafts is None:
            return []
        draft = self._drafts.propose(room)
        end = next((i for i, token in enumerate(draft) if token in self._end_tokens), len(draft))
        draft = draft[:end]
        if draft and self._grammar is not None:
            draft = draft[: self._grammar.count_allowed(draft)]
        return draft

    def _finish(self, reason: FinishReason, accepted: int = 0) -> Progress:
        self._show(self._detokenizer.flush())
        prompt_tokens = len(self._request.prompt)
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=len(self._sequence.tokens) - prompt_tokens,
            cached_tokens=min(self._sequence.cached_tokens or 0, prompt_tokens),
        )
        return Progress(
            piece=self._piece(),
            end=Finished(reason, usage),
            forced_tokens=self._forced,
            accepted_tokens=accepted,
        )

    def _show(self, piece: Piece | None) -> None:
        """Deliver a piece with this call, its log-probabilities with it."""
        if piece is None:
            return
        if self._logprobs is not None:
            detokenizer = self._detokenizer
            logprobs = self._logprobs.take(
                detokenizer.released_bytes, is_last=detokenizer.is_stopped
            )
            piece = replace(piece, logprobs=logprobs)
        self._pieces.append(piece)

    def _piece(self) -> Piece | None:
        """Everything the current call has made safe to show."""
        pieces = self._pieces
        if len(pieces) <= 1:
            return pieces[0] if pieces else None
        return Piece.join(pieces)
