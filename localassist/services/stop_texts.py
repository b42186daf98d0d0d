"""Stop strings in what a turn says, for turns that may also call.

The markup of a call is not text: a line break or a brace in it is no place to stop, or calls would
end in their middle. So the engine is not told of the stop strings, and what the parser takes for
text is searched for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from localassist.engine.detokenizer import Detokenizer


class StopTexts:
    """Feed texts in order; ``is_stopped`` turns True when a stop string has appeared. Held back is
    what may still become one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._is_idle = not stop
        self._texts: list[str] = []
        self._detokenizer = Detokenizer(lambda index: self._texts[index].encode(), stop)

    @property
    def is_stopped(self) -> bool:
        return self._detokenizer.is_stopped

    @property
    def holds_text(self) -> bool:
        return self._detokenizer.holds_text

    def feed(self, text: str) -> str:
        """What is certain to come before any stop string."""
        if self._is_idle:
            return text
        self._texts.append(text)
        piece = self._detokenizer.push(len(self._texts) - 1)
        return "" if piece is None else piece.text

    def flush(self) -> str:
        """No more text follows: what was held back."""
        piece = self._detokenizer.flush()
        return "" if piece is None else piece.text
