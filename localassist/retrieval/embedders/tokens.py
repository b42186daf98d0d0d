"""A model's tokenizer, out of its JSON: ids for the model, positions for the splitter."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Offsets

# A tokenizer takes some hundred bytes per token; a long text goes through it in stretches.
_STRETCH = 100_000
_SHORT = 4_000
_SPACE = re.compile(r"\s")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Tokens:
    """``window`` is what the model sees of a text, in tokens, special ones included. Any thread may
    call."""

    def __init__(self, tokenizer_json: str, window: int) -> None:
        # Its own threads gain nothing beside a model, and make every later fork a warning.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        self._whole = Tokenizer.from_str(tokenizer_json)
        self._whole.no_padding()
        self._whole.no_truncation()
        self._cut = Tokenizer.from_str(tokenizer_json)
        self._cut.no_padding()
        self._cut.enable_truncation(window)
        self.window = window
        self.max_tokens = window - self._whole.num_special_tokens_to_add(False)

    def json(self) -> str:
        """What another one can be made of."""
        return str(self._whole.to_str())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids as the model reads them: special ones included, cut to the window."""
        encodings = self._cut.encode_batch_fast([well_formed(text) for text in texts])
        return [encoding.ids for encoding in encodings]

    async def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """``encode`` without holding up the event loop. A question does not queue up for a thread
        behind files that are being read."""
        if sum(map(len, texts)) <= _SHORT:
            return self.encode(texts)
        return await asyncio.to_thread(self.encode, texts)

    def starts(self, text: str) -> Offsets:
        """See ``Embedder.token_starts``."""
        text = well_formed(text)
        found = [np.zeros(0, dtype=np.int32)]
        for start, end in _stretches(text):
            encoding = self._whole.encode(text[start:end], add_special_tokens=False)
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            found.append(offsets[:, 0] + start)
        # A tokenizer may put a character's accent before the character.
        return np.maximum.accumulate(np.concatenate(found))


def well_formed(text: str) -> str:
    """The text with lone surrogates, which JSON lets through and no tokenizer takes, replaced one
    for one."""
    return _SURROGATE.sub("\ufffd", text)


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Parts of the text that end at white space where there is any."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _STRETCH)
        if end < len(text):
            space = _SPACE.search(text, end, end + _STRETCH)
            end = space.start() if space is not None else end
        yield start, end
        start = end
