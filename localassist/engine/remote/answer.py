"""Chunks of a server into pieces as the engine delivers them: stop strings, and tokens that spell
exactly the text. Pure; works on chunks as ``engine.detokenizer`` does on tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from localassist.engine.detokenizer import Detokenizer
from localassist.engine.remote.dialect import Chunk
from localassist.engine.request import Piece


@dataclass(frozen=True, slots=True)
class Released:
    """Text that may be shown. ``unspelled`` is its end for which there are no tokens yet: what
    stood before a stop string that began in the middle of a chunk."""

    text: str
    token_ids: tuple[int, ...]
    unspelled: str = ""


class Answer:
    """One answer on its way. ``completion_tokens`` counts what the server has produced."""

    def __init__(self, stop: Iterable[str]) -> None:
        self.completion_tokens = 0
        self._chunks: list[Chunk] = []
        self._detokenizer = Detokenizer(
            lambda index: self._chunks[index].text.encode(), stop, respell=self._respell
        )

    @property
    def is_stopped(self) -> bool:
        """A stop string has appeared."""
        return self._detokenizer.is_stopped

    def push(self, chunk: Chunk) -> Released | None:
        self.completion_tokens += len(chunk.token_ids)
        return self._release(self._detokenizer.push(self._keep(chunk)))

    def flush(self) -> Released | None:
        """What waited for a stop string that did not come."""
        return self._release(self._detokenizer.flush())

    def _keep(self, chunk: Chunk) -> int:
        self._chunks.append(chunk)
        return len(self._chunks) - 1

    def _respell(self, text: str) -> list[int]:
        return [self._keep(Chunk(text))]

    def _release(self, piece: Piece | None) -> Released | None:
        if piece is None:
            return None
        chunks = [self._chunks[index] for index in piece.token_ids]
        token_ids = tuple(token for chunk in chunks for token in chunk.token_ids)
        # Only a text that was put in by ``_respell`` has no tokens.
        unspelled = "".join(chunk.text for chunk in chunks if not chunk.token_ids)
        return Released(piece.text, token_ids, unspelled)
