"""Chunks into pieces: nothing of a stop string is shown, and tokens spell the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.remote.answer import Answer
from localassist.engine.remote.dialect import Chunk

TEXTS = st.lists(st.text("abé😀", min_size=1, max_size=4), max_size=8)


def play(texts: list[str], stop: list[str]) -> tuple[Answer, str, list[int], str]:
    """Each chunk has one token, its index."""
    answer = Answer(stop)
    shown, unspelled, tokens = "", "", []
    released = []
    for index, text in enumerate(texts):
        released.append(answer.push(Chunk(text, (index,))))
        if answer.is_stopped:
            break
    released.append(answer.flush())
    for part in filter(None, released):
        shown += part.text
        tokens += part.token_ids
        unspelled += part.unspelled
    return answer, shown, tokens, unspelled


@given(TEXTS, st.lists(st.text("abé", min_size=1, max_size=3), max_size=2))
def test_everything_before_the_first_stop_string_is_shown(
    texts: list[str], stop: list[str]
) -> None:
    answer, shown, tokens, unspelled = play(texts, stop)
    whole = "".join(texts)
    # What came first ends the answer, even if a later chunk would have shown an earlier one.
    for count in range(len(texts) + 1):
        sofar = "".join(texts[:count])
        found = [sofar.index(text) for text in stop if text in sofar]
        if found:
            whole = sofar[: min(found)]
            break
    assert shown == whole
    assert "".join(texts[token] for token in tokens) + unspelled == shown
    assert answer.is_stopped == any(text in "".join(texts) for text in stop)


def test_tokens_are_counted_as_the_server_made_them() -> None:
    answer = Answer(["b"])
    answer.push(Chunk("a", (1, 2)))
    answer.push(Chunk("b", (3,)))
    assert answer.completion_tokens == 3
