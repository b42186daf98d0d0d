"""However a text is cut into tokens: the same text comes out, whole characters, no stop string."""

from __future__ import annotations

import codecs

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.detokenizer import Detokenizer
from localassist.engine.request import Piece

texts = st.text(alphabet="abé漢字🙂🇩🇪👩‍👧 \n", max_size=24)


def cut(data: bytes, splits: list[int]) -> list[bytes]:
    places = sorted({split % (len(data) + 1) for split in splits} | {0, len(data)})
    return [data[a:b] for a, b in zip(places, places[1:], strict=False)] or [b""]


def feed(parts: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[Piece], bool]:
    """Token i stands for parts[i]; extra tokens spell single characters."""
    vocabulary = dict(enumerate(parts))

    def respell(text: str) -> list[int]:
        first = len(vocabulary)
        vocabulary.update((first + i, c.encode()) for i, c in enumerate(text))
        return list(range(first, len(vocabulary)))

    detokenizer = Detokenizer(vocabulary.__getitem__, stop, respell=respell)
    pieces: list[Piece | None] = []
    for token in range(len(parts)):
        pieces.append(detokenizer.push(token))
        if detokenizer.is_stopped:
            break
    pieces.append(detokenizer.flush())
    shown = [piece for piece in pieces if piece is not None]
    for piece in shown:
        data = b"".join(vocabulary[token] for token in piece.token_ids)
        assert data.decode("utf-8", "replace") == piece.text
    return shown, detokenizer.is_stopped


@given(text=texts, splits=st.lists(st.integers(0, 200)))
def test_any_split_gives_the_same_text(text: str, splits: list[int]) -> None:
    pieces, _ = feed(cut(text.encode(), splits))
    assert "".join(piece.text for piece in pieces) == text
    assert not any("\ufffd" in piece.text for piece in pieces)


@given(
    text=texts,
    splits=st.lists(st.integers(0, 200)),
    stop=st.lists(st.text(alphabet="ab漢🙂\n", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_text_ends_before_the_first_stop_string(
    text: str, splits: list[int], stop: list[str]
) -> None:
    parts = cut(text.encode(), splits)
    pieces, is_stopped = feed(parts, tuple(stop))
    shown = "".join(piece.text for piece in pieces)
    assert is_stopped == any(s in text for s in stop)
    if not is_stopped:
        assert shown == text
        return
    # The first token that completes any stop string decides; within it the earliest one.
    seen = b""
    for part in parts:
        seen += part
        starts = [at for s in stop if (at := seen.find(s.encode())) >= 0]
        if starts:
            break
    assert shown == text.encode()[: min(starts)].decode()


@given(data=st.binary(max_size=12), splits=st.lists(st.integers(0, 20)))
def test_broken_bytes_are_replaced_like_everywhere_else(data: bytes, splits: list[int]) -> None:
    pieces, _ = feed(cut(data, splits))
    shown = "".join(piece.text for piece in pieces)
    whole = data.decode("utf-8", "replace")
    assert whole.startswith(shown)
    # Only a last character that is still unfinished, with the tokens it is in, may be missing.
    assert shown == whole or codecs.utf_8_decode(data, "replace", False)[1] < len(data)


def test_what_may_become_a_stop_string_waits() -> None:
    vocabulary = {0: b"Hello", 1: b"\nUs", 2: b"ed", 3: b"\nUser", 4: b":"}
    detokenizer = Detokenizer(vocabulary.__getitem__, ["\nUser:"])
    assert detokenizer.push(0) == Piece("Hello", (0,))
    assert detokenizer.push(1) is None
    assert detokenizer.push(2) == Piece("\nUsed", (1, 2))
    assert detokenizer.push(3) is None
    assert detokenizer.push(4) is None
    assert detokenizer.is_stopped and detokenizer.flush() is None


def test_half_a_character_at_the_end_is_dropped_with_its_tokens() -> None:
    vocabulary = {0: b"ok ", 1: b"\xf0\x9f", 2: b"\x99\x82"}
    detokenizer = Detokenizer(vocabulary.__getitem__)
    assert detokenizer.push(0) == Piece("ok ", (0,))
    assert detokenizer.push(1) is None
    assert detokenizer.flush() is None
    assert detokenizer.push(2) == Piece("🙂", (1, 2))


def test_a_stop_string_inside_a_token_has_the_rest_spelled_anew() -> None:
    vocabulary = {0: b"one", 1: b" two##", 2: b" two"}
    detokenizer = Detokenizer(vocabulary.__getitem__, ["##"], respell=lambda text: [2])
    assert detokenizer.push(0) == Piece("one", (0,))
    assert detokenizer.push(1) == Piece(" two", (2,))
    assert detokenizer.is_stopped


def test_tokens_without_text_are_not_lost() -> None:
    detokenizer = Detokenizer({0: b"", 1: b"a"}.__getitem__)
    assert detokenizer.push(0) == Piece("", (0,))
    assert detokenizer.push(1) == Piece("a", (1,))
