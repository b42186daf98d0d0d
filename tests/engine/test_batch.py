"""Plan → rows."""

from __future__ import annotations

from localassist.engine.batch import Output, build_batch
from localassist.engine.scheduler import Chunk
from localassist.engine.sequence import Sequence


def test_only_the_last_row_of_a_whole_prompt_wants_logits() -> None:
    part = Sequence([5, 6, 7, 8], slot=3)
    rest = Sequence([1, 2, 3], slot=1, computed=1)
    batch, outputs = build_batch([Chunk(part, 0, 2), Chunk(rest, 1, 2)])
    assert batch.tokens == [5, 6, 2, 3]
    assert batch.positions == [0, 1, 1, 2]
    assert batch.slots == [3, 3, 1, 1]
    assert batch.wants_logits == [False, False, False, True]
    assert outputs == [Output(rest, 2, 3)]


def test_scored_rows_want_logits_from_their_first_position_on() -> None:
    scored = Sequence([1, 2, 3, 4], scored_from=2, slot=0)
    batch, outputs = build_batch([Chunk(scored, 1, 3)])
    assert batch.wants_logits == [False, True, True]
    assert [(output.position, output.row) for output in outputs] == [(2, 1), (3, 2)]


def test_drafted_rows_follow_the_confirmed_ones_and_all_want_logits() -> None:
    plain = Sequence([9], slot=2)
    guessing = Sequence([1, 2, 3], slot=0, computed=1, draft=[4, 5, 6])
    batch, outputs = build_batch([Chunk(guessing, 1, 2, drafted=2), Chunk(plain, 0, 1)])
    assert batch.tokens == [2, 3, 4, 5, 9]
    assert batch.positions == [1, 2, 3, 4, 0]
    assert batch.slots == [0, 0, 0, 0, 2]
    assert batch.wants_logits == [False, True, True, True, True]
    assert outputs == [
        Output(guessing, 2, 1),
        Output(guessing, 3, 2),
        Output(guessing, 4, 3),
        Output(plain, 0, 4),
    ]
