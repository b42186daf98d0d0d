"""Answers from rows: with guesses and without, in any steps, the same token for token."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.core import Constraint, SamplingParams
from localassist.engine.backend import Batch
from localassist.engine.batch import Output
from localassist.engine.drafts import Drafts, PromptLookup
from localassist.engine.generation import Generation
from localassist.engine.grammar import GrammarCompiler
from localassist.engine.request import Finished, Generate, Piece
from localassist.engine.scripted_backend import (
    END_TOKEN,
    VOCAB_SIZE,
    ScriptedBackend,
    hashed_letters,
)
from localassist.errors import GenerationFailed

GREEDY = SamplingParams(temperature=0)


@dataclass
class Answer:
    """What a request became, and what it took."""

    tokens: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    finished: Finished | None = None
    steps: int = 0
    drafted: int = 0
    accepted: int = 0
    forced: int = 0

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class Loop:
    """One sequence on a scripted backend: what scheduler and worker do, without either."""

    def __init__(self, next_token: Callable[[Sequence[int]], int] = hashed_letters) -> None:
        self.backend = ScriptedBackend(next_token, cells=4096, context_length=150)
        self.compiler = GrammarCompiler(self.backend.grammar_tokenizer, VOCAB_SIZE)

    def run(
        self,
        request: Generate,
        drafts: Callable[[Sequence[int]], Drafts] | None = None,
        *,
        rows: Callable[[], int] = lambda: 32,
    ) -> Answer:
        """``rows`` says how many rows each step has: for pending tokens first, then for drafts."""
        grammar = None
        if request.constraint is not None:
            grammar = self.compiler.compile(request.constraint.grammar)
        task = Generation(request, grammar, self.backend, drafts)
        self.backend.drop_cells(0)
        answer = Answer()
        progress = task.start()
        sequence = progress.start[0] if progress.start else task._sequence
        computed = 0
        while True:
            answer.forced += progress.forced_tokens
            answer.accepted += progress.accepted_tokens
            answer.pieces += [progress.piece] if progress.piece is not None else []
            if progress.end is not None:
                break
            known, step = len(sequence.tokens), 0
            while computed < known:
                step = min(rows(), known - computed)
                draft = sequence.draft[: rows() - step] if computed + step == known else []
                batch_tokens = sequence.tokens[computed : computed + step] + draft
                wanted = [i >= known - 1 - computed for i in range(len(batch_tokens))]
                positions = list(range(computed, computed + len(batch_tokens)))
                self.backend.forward(
                    Batch(batch_tokens, positions, [0] * len(batch_tokens), wanted)
                )
                answer.steps += 1
                first, computed = computed, computed + step
            answer.drafted += len(draft)
            outputs = [
                Output(sequence, known - 1 + i, known - 1 + i - first)
                for i in range(1 + len(draft))
            ]
            progress = task.advance(outputs)
            for token in draft:
                if computed >= len(sequence.tokens) - 1 or sequence.tokens[computed] != token:
                    break
                computed += 1
            self.backend.drop_cells(0, computed)
        assert isinstance(progress.end, Finished)
        assert sequence.draft == []
        task.close()
        answer.finished = progress.end
        answer.tokens = sequence.tokens[len(request.prompt) :]
        assert len(answer.tokens) == progress.end.usage.completion_tokens
        return answer


class Guesses:
    """Knows the answer and proposes it, with mistakes."""

    def __init__(self, tokens: Sequence[int], whole: list[int], seed: int, mistakes: float) -> None:
        self._tokens = tokens
        self._whole = whole
        self._random = random.Random(seed)
        self._mistakes = mistakes
        self.recorded: list[tuple[int, int]] = []

    def propose(self, room: int) -> list[int]:
        start = len(self._tokens)
        right = self._whole[start : start + min(room, self._random.randrange(12))]
        return [
            self._random.choice([ord("a"), ord('"'), END_TOKEN, 255])
            if self._random.random() < self._mistakes
            else token
            for token in right
        ]

    def record(self, drafted: int, accepted: int) -> None:
        assert 0 <= accepted <= drafted
        self.recorded.append((drafted, accepted))


GRAMMARS = [
    None,
    'start: /[a-z]{3,9}/ " and " /[a-z]{2}/ "."',
    'start: %json {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, '
    '"size": {"enum": ["small", "smaller", "large"]}, "ok": {"type": "boolean"}}, '
    '"required": ["name", "size", "ok"], "additionalProperties": false}',
    'start: ("left " | "right ")* "stop"',
]


@settings(max_examples=150, deadline=None)
@given(
    prompt=st.lists(st.integers(97, 100), min_size=1, max_size=40),
    grammar=st.sampled_from(GRAMMARS),
    stop=st.lists(st.text("abcdefgh ", min_size=1, max_size=2), max_size=3),
    max_tokens=st.one_of(st.none(), st.integers(1, 60)),
    temperature=st.sampled_from([0.0, 0.7]),
    penalty=st.sampled_from([0.0, 0.8]),
    seed=st.integers(0, 1000),
    mistakes=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_guesses_change_nothing_but_the_steps(
    prompt: list[int],
    grammar: str | None,
    stop: list[str],
    max_tokens: int | None,
    temperature: float,
    penalty: float,
    seed: int,
    mistakes: float,
) -> None:
    sampling = SamplingParams(
        temperature=temperature,
        frequency_penalty=penalty,
        seed=seed,
        stop=tuple(stop),
        max_tokens=max_tokens,
    )
    request = Generate(prompt, sampling, Constraint(grammar) if grammar is not None else None)
    loop = Loop()
    plain = loop.run(request)
    whole = [*prompt, *plain.tokens, *b"beyond the end"]
    steps = random.Random(seed)
    for drafts in (
        lambda tokens: Guesses(tokens, whole, seed, mistakes),
        partial(PromptLookup, longest=16, is_adaptive=False),
    ):
        guessed = loop.run(request, drafts, rows=lambda: steps.randrange(1, 20))
        assert guessed.tokens == plain.tokens
        assert guessed.finished == plain.finished
        assert guessed.text == plain.text
        assert guessed.forced == plain.forced
        assert 0 <= guessed.accepted <= guessed.drafted
        assert _shown(guessed) == _shown(plain)


def _shown(answer: Answer) -> list[int]:
    return [token for piece in answer.pieces for token in piece.token_ids]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), done=st.integers(0, 40), temperature=st.sampled_from([0.0, 1.5]))
def test_a_resumed_answer_goes_on_as_it_would_have(
    seed: int, done: int, temperature: float
) -> None:
    sampling = SamplingParams(
        temperature=temperature, seed=seed, max_tokens=40, frequency_penalty=0.5
    )
    loop = Loop()
    whole = loop.run(Generate(list(b"prompt"), sampling))
    resumed = Generate(list(b"prompt"), sampling, continued=whole.tokens[:done])
    if done < len(whole.tokens):
        assert loop.run(resumed).tokens == whole.tokens


def reciting(script: list[int]) -> Loop:
    """A loop over a model that knows one text by heart."""
    return Loop(lambda tokens: script[len(tokens)] if len(tokens) < len(script) else END_TOKEN)


def knows(whole: list[int]) -> Callable[[Sequence[int]], Drafts]:
    return lambda tokens: Guesses(tokens, whole, 1, 0.0)


def test_right_guesses_save_steps() -> None:
    script = list(b"?" + b"a sentence of some length, without an end " * 3)
    loop = reciting(script)
    sampling = SamplingParams(temperature=0, max_tokens=100)
    plain = loop.run(Generate([ord("?")], sampling))
    guessed = loop.run(Generate([ord("?")], sampling), knows(script))
    assert plain.tokens == guessed.tokens == script[1:101]
    assert plain.steps == 100
    assert guessed.accepted == guessed.drafted
    assert guessed.steps == 100 - guessed.accepted < 30


def test_prompt_lookup_quotes_the_prompt_in_few_steps() -> None:
    text = b"It was the best of times, it was the worst of times, he said. "
    script = list(text + text)
    loop = reciting(script)
    request = Generate(list(text), GREEDY)
    plain, quick = loop.run(request), loop.run(request, partial(PromptLookup, longest=16))
    assert bytes(plain.tokens) == bytes(quick.tokens) == text
    assert quick.steps < plain.steps / 3


@pytest.mark.parametrize("max_tokens", range(1, 12))
def test_the_token_limit_cuts_in_the_middle_of_right_guesses(max_tokens: int) -> None:
    script = list(b"?" + b"abcdefghijklmnopqrstuvwxyz")
    loop = reciting(script)
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
    answer = loop.run(Generate([ord("?")], sampling), knows(script))
    assert answer.tokens == script[1 : 1 + max_tokens]
    assert answer.finished is not None and answer.finished.reason == "length"


def test_an_end_or_a_stop_string_in_the_middle_of_right_guesses_is_the_end() -> None:
    script = [*b"?one two STOP three", END_TOKEN, *b"never"]
    loop = reciting(script)
    sampling = SamplingParams(temperature=0, stop=("STOP",))
    answer = loop.run(Generate([ord("?")], sampling), knows(script))
    assert (answer.text, bytes(answer.tokens)) == ("one two ", b"one two STOP")
    answer = loop.run(Generate([ord("?")], GREEDY), knows(script))
    assert (answer.text, bytes(answer.tokens)) == ("one two STOP three", b"one two STOP three")


def test_guesses_the_grammar_refuses_are_not_computed() -> None:
    script = list(b"?012345678")
    loop = reciting(script)
    wrong = list(b"?01234xxxxxxx")
    request = Generate([ord("?")], GREEDY, Constraint("start: /[0-9]{9}/"))
    answer = loop.run(request, knows(wrong))
    assert answer.text == "012345678"
    assert answer.drafted == answer.accepted > 0


def test_forced_tokens_are_counted_and_guesses_go_on_behind_them() -> None:
    whole = list(b"?yes, and then some more text")
    loop = reciting(whole)
    grammar = Constraint('start: /[yn]/ "es, and then" /[a-z ]{15}/')
    plain = loop.run(Generate([ord("?")], GREEDY, grammar))
    guessed = loop.run(Generate([ord("?")], GREEDY, grammar), knows(whole))
    assert plain.text == guessed.text == bytes(whole[1:]).decode()
    assert plain.forced == guessed.forced == len("es, and then")
    assert guessed.steps < plain.steps


def test_models_that_cannot_be_cut_are_not_guessed_for() -> None:
    backend = ScriptedBackend(can_truncate=False)

    def refuse(tokens: Sequence[int]) -> Drafts:
        raise AssertionError("no drafts")

    Generation(Generate([97], GREEDY), None, backend, refuse)


def test_continued_tokens_outside_the_grammar_are_an_error() -> None:
    request = Generate([97], GREEDY, Constraint('start: "yes"'), continued=list(b"no"))
    with pytest.raises(GenerationFailed):
        Loop().run(request)
