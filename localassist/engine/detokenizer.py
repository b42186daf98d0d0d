"""Tokens → text that is safe to show, incrementally. Works on bytes; knows no vocabulary.

Text is released only in whole tokens, so that the released tokens spell exactly the released text.
Held back is whatever ends in half a character or in the beginning of a stop string.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable

from localassist.engine.request import Piece

Respell = Callable[[str], Iterable[int]]
"""Tokens for a text; used when a stop string begins inside a token."""


class Detokenizer:
    """Collects the tokens of one answer and releases them as pieces.

    ``is_stopped`` turns True when a stop string has appeared; nothing is released after that.
    ``released_bytes`` counts what has been released.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        stop: Iterable[str] = (),
        *,
        respell: Respell | None = None,
    ) -> None:
        self.is_stopped = False
        self.released_bytes = 0
        self._token_bytes = token_bytes
        self._respell = respell
        self._stops = [text.encode() for text in stop]
        self._held = b""
        self._tokens: list[int] = []
        self._ends: list[int] = []  # offset in _held after each held token

    @property
    def holds_text(self) -> bool:
        """Something is held back."""
        return bool(self._held)

    def push(self, token: int) -> Piece | None:
        """Add a token; returns what has become safe to show, if anything."""
        assert not self.is_stopped, "nothing follows a stop string"
        self._held += self._token_bytes(token)
        self._tokens.append(token)
        self._ends.append(len(self._held))
        if not self._stops:
            return self._release(len(self._held))
        starts = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if starts:
            self.is_stopped = True
            return self._release_before_stop(min(starts))
        return self._release(len(self._held) - self._stop_prefix())

    def flush(self) -> Piece | None:
        """The answer ended: release what waited for a stop string. Half a character is dropped,
        with its tokens; broken bytes inside the text become U+FFFD, as everywhere."""
        if self.is_stopped:
            return None
        return self._release(len(self._held))

    def _stop_prefix(self) -> int:
        """Length of the longest end of the held bytes that begins a stop string."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _release(self, limit: int) -> Piece | None:
        """Release the tokens that end within ``limit`` bytes, up to the last whole character."""
        count, text = self._whole_tokens(limit)
        if count == 0:
            return None
        piece = Piece(text, tuple(self._tokens[:count]))
        end = self._ends[count - 1]
        self.released_bytes += end
        self._held = self._held[end:]
        del self._tokens[:count]
        self._ends = [offset - end for offset in self._ends[count:]]
        return piece

    def _whole_tokens(self, limit: int) -> tuple[int, str]:
        """How many held tokens end within ``limit`` bytes and with a whole character, and their
        text."""
        for count in range(len(self._ends), 0, -1):
            end = self._ends[count - 1]
            if end <= limit:
                text, consumed = codecs.utf_8_decode(self._held[:end], "replace", False)
                if consumed == end:
                    return count, text
        return 0, ""

    def _release_before_stop(self, start: int) -> Piece | None:
        """Release the ``start`` bytes before a stop string.

        The last of them may be the first part of a token; that part is spelled anew. When the
        vocabulary cannot spell it alone, the text is released without tokens for it.
        """
        self.released_bytes += start
        whole, text = self._whole_tokens(start)
        tokens = tuple(self._tokens[:whole])
        spelled = self._ends[whole - 1] if whole else 0
        rest = self._held[spelled:start]
        if rest:
            rest_text = rest.decode("utf-8", "replace")
            text += rest_text
            extra = tuple(self._respell(rest_text)) if self._respell is not None else ()
            if b"".join(map(self._token_bytes, extra)) == rest:
                tokens += extra
        return Piece(text, tokens) if text else None
