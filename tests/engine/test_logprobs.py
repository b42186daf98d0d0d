"""Log-probabilities beside answers: they change nothing, leave nothing out, and are the model's."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.core import Constraint, SamplingParams, TokenLogprob
from localassist.engine import LlamaEngine
from localassist.engine.backend import Batch
from localassist.engine.drafts import PromptLookup
from localassist.engine.generation import Generation
from localassist.engine.logprobs import LogprobQueue, log_probabilities, read_logprob
from localassist.engine.request import Finished, Generate, Piece
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import InvalidRequest
from tests.engine.test_generation import GRAMMARS, Answer, Guesses, Loop

LETTERS = st.lists(st.integers(97, 100), min_size=1, max_size=20)


def entries(answer: Answer) -> list[TokenLogprob]:
    return [entry for piece in answer.pieces for entry in piece.logprobs]


def expected(loop: Loop, tokens: list[int], prompt: int) -> list[float]:
    """The log-probability of each token behind the prompt, from rows computed for nothing else."""
    loop.backend.drop_cells(0)
    values = []
    for place, following in enumerate(tokens[1:]):
        loop.backend.forward(Batch([tokens[place]], [place], [0], [True]))
        values += log_probabilities(loop.backend.logits(0), [following])
    return values[prompt - 1 :]


@settings(max_examples=150, deadline=None)
@given(
    prompt=LETTERS,
    grammar=st.sampled_from(GRAMMARS),
    stop=st.lists(st.text("abcdefgh ", min_size=1, max_size=2), max_size=3),
    max_tokens=st.one_of(st.none(), st.integers(1, 60)),
    temperature=st.sampled_from([0.0, 0.7]),
    penalty=st.sampled_from([0.0, 0.8]),
    top=st.sampled_from([0, 1, 20]),
    seed=st.integers(0, 1000),
    mistakes=st.sampled_from([None, 0.0, 0.5]),
)
def test_they_change_nothing_and_are_those_of_the_model(
    prompt: list[int],
    grammar: str | None,
    stop: list[str],
    max_tokens: int | None,
    temperature: float,
    penalty: float,
    top: int,
    seed: int,
    mistakes: float | None,
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
    asking = replace(request, sampling=replace(sampling, top_logprobs=top))
    drafts = None
    if mistakes is not None:
        whole = [*prompt, *plain.tokens, *b"beyond the end"]
        drafts = lambda tokens: Guesses(tokens, whole, seed, mistakes)  # noqa: E731
    steps = random.Random(seed)
    told = loop.run(asking, drafts, rows=lambda: steps.randrange(1, 20))
    assert (told.tokens, told.finished, told.forced) == (plain.tokens, plain.finished, plain.forced)
    assert told.text == plain.text
    shown = entries(told)
    for piece in told.pieces:
        # Half a character before a stop string is shown, but no tokens spell it.
        assert [e.token_id for e in piece.logprobs][: len(piece.token_ids)] == [*piece.token_ids]
        assert stop or len(piece.logprobs) == len(piece.token_ids)
        data = b"".join(entry.data for entry in piece.logprobs)
        assert data.decode("utf-8", "replace") == piece.text
    values = expected(loop, [*prompt, *told.tokens], len(prompt))
    assert [entry.logprob for entry in shown] == pytest.approx(values[: len(shown)], abs=1e-5)
    for entry in shown:
        assert len(entry.top) == top
        best = [other.logprob for other in entry.top]
        assert best == sorted(best, reverse=True)
        assert not best or best[0] >= entry.logprob


def test_forced_tokens_get_their_rows_in_few_steps() -> None:
    grammar = Constraint('start: /[yn]/ "es, and then" /[a-z ]{5}/ "."')
    loop = Loop()
    sampling = SamplingParams(temperature=0, top_logprobs=0)
    told = loop.run(Generate([97], sampling, grammar))
    assert told.forced == len("es, and then.") and len(entries(told)) == len(told.tokens)
    assert told.steps < len(told.tokens) - 8
    plain = loop.run(Generate([97], SamplingParams(temperature=0), grammar))
    assert not entries(plain) and plain.text == told.text


def test_forced_tokens_of_models_that_cannot_be_cut_come_one_by_one() -> None:
    loop = Loop()
    loop.backend = ScriptedBackend(cells=4096, context_length=150, can_truncate=False)
    sampling = SamplingParams(temperature=0, top_logprobs=1)
    grammar = loop.compiler.compile('start: "forced text"')
    task = Generation(Generate([97], sampling), grammar, loop.backend)
    assert task.start().end is None
    assert task._sequence.draft == []


def test_forced_tokens_do_not_count_as_guesses() -> None:
    recorded: list[tuple[int, int]] = []

    class Recording(PromptLookup):
        def record(self, drafted: int, accepted: int) -> None:
            recorded.append((drafted, accepted))

    sampling = SamplingParams(temperature=0, top_logprobs=0)
    request = Generate([97], sampling, Constraint('start: "a long forced text, in one go"'))
    assert Loop().run(request, partial(Recording, longest=8)).forced > 8
    assert recorded == []


WORDS = {0: b"wor", 1: b"ld ST", 2: b"OP it", 3: b"caf\xc3", 4: b"\xa9 ", 5: b"\xf0\x9f"}


def pieces_of(stop: tuple[str, ...], script: list[int]) -> list[Piece]:
    """What becomes of a scripted answer in these words."""
    backend = ScriptedBackend(lambda tokens: [*script, 261][len(tokens) - 1])
    backend.token_bytes = lambda token: WORDS.get(token, b"")  # type: ignore[method-assign]
    backend.tokenize = lambda text, parse_special: []  # type: ignore[method-assign,assignment]
    loop = Loop()
    loop.backend = backend
    return loop.run(Generate([9], SamplingParams(0, stop=stop, top_logprobs=2))).pieces


def test_a_stop_string_cuts_the_token_in_which_it_begins() -> None:
    shown = [entry for piece in pieces_of(("STOP",), [0, 1, 2]) for entry in piece.logprobs]
    assert [(entry.token_id, entry.data) for entry in shown] == [(0, b"wor"), (1, b"ld ")]


def test_parts_of_characters_come_with_the_piece_that_completes_them() -> None:
    pieces = pieces_of((), [0, 3, 4, 5])
    told = [(piece.text, [entry.data for entry in piece.logprobs]) for piece in pieces]
    assert told == [("wor", [b"wor"]), ("café ", [b"caf\xc3", b"\xa9 "])]


def test_entries_of_an_unlikely_row() -> None:
    logits = np.array([0.0, -np.inf, 3.0, 1.0], dtype=np.float32)
    entry = read_logprob(logits, 0, 20, lambda token: b"%d" % token)
    assert [other.data for other in entry.top] == [b"2", b"3", b"0"]
    total = np.log(1 + np.exp(3) + np.exp(1))
    assert entry.logprob == pytest.approx(-total)
    assert entry.top[0].logprob == pytest.approx(3 - total)


@given(
    sizes=st.lists(st.integers(0, 4), max_size=12),
    shown=st.lists(st.integers(0, 48), min_size=1, max_size=6),
)
def test_the_queue_hands_out_what_was_shown(sizes: list[int], shown: list[int]) -> None:
    queue = LogprobQueue()
    queue.add(*(TokenLogprob(i, bytes([i]) * size, -1.0) for i, size in enumerate(sizes)))
    everything = b"".join(bytes([i]) * size for i, size in enumerate(sizes))
    taken: list[TokenLogprob] = []
    for end in sorted(shown):
        taken += queue.take(end)
        assert everything[:end].startswith(b"".join(entry.data for entry in taken))
    taken += queue.take(max(shown), is_last=True)
    assert b"".join(entry.data for entry in taken) == everything[: max(shown)]


async def test_the_engine_tells_what_it_scores(make_engine: type[LlamaEngine]) -> None:
    engine = make_engine(ScriptedBackend())  # type: ignore[call-arg,arg-type]
    grammar = Constraint(GRAMMARS[2] or "")
    sampling = SamplingParams(temperature=1.0, seed=1, max_tokens=60, top_logprobs=1)
    told: list[TokenLogprob] = []
    async for item in engine.generate(Generate(list(b"prompt"), sampling, grammar)):
        if isinstance(item, Finished):
            break
        told += item.logprobs
    [scores] = await engine.score(list(b"prompt"), [[entry.token_id for entry in told]])
    assert len(told) > 10
    assert [entry.logprob for entry in told] == pytest.approx(scores, abs=1e-5)
    with pytest.raises(InvalidRequest, match="top_logprobs"):
        too_many = SamplingParams(top_logprobs=-1)
        async for _ in engine.generate(Generate([97], too_many)):
            pass
