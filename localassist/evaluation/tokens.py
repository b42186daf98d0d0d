"""Counts tokens of spans: with the embedder's tokenizer, or with a vocabulary of tiktoken's.

Figures that others have published are counted with cl100k. Its vocabulary is a file that tiktoken
would download; here it is read from where the user has it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from localassist.errors import ConfigError
from localassist.evaluation.corpus import Document
from localassist.evaluation.spans import Span

Offsets = npt.NDArray[np.int32]
TokenStarts = Callable[[str], Offsets]
"""The code point at which each token of a text starts, in order."""

# tiktoken's cl100k_base: how a text is taken apart before its bytes are joined into tokens.
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
    r"\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)

_CL100K_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


class TokenTable:
    """The tokens of documents, so that those of a span are two look-ups."""

    def __init__(self, name: str, starts: TokenStarts, documents: Iterable[Document]) -> None:
        self.name = name
        self.starts: Mapping[str, Offsets] = {
            document.name: starts(document.text) for document in documents
        }

    def count(self, span: Span) -> int:
        """Tokens that start within the span."""
        low, high = np.searchsorted(self.starts[span.document], (span.start, span.end))
        return int(high - low)

    @property
    def total(self) -> int:
        return sum(map(len, self.starts.values()))


def cl100k(vocabulary: Path) -> TokenStarts:
    """The tokens of cl100k_base by its vocabulary file, ``cl100k_base.tiktoken``. Raises
    ConfigError without the library, or when the file is none."""
    try:
        import tiktoken
    except ImportError as error:
        raise ConfigError(
            "Counting in cl100k tokens needs tiktoken: pip install tiktoken"
        ) from error
    ranks = _read_vocabulary(vocabulary)
    encoding: Any = tiktoken.Encoding(
        "cl100k_base",
        pat_str=_CL100K_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={},
    )

    def starts(text: str) -> Offsets:
        _, offsets = encoding.decode_with_offsets(encoding.encode_ordinary(text))
        return np.asarray(offsets, dtype=np.int32)

    return starts


def _read_vocabulary(path: Path) -> dict[bytes, int]:
    """A line for each token: its bytes in base64, and its number."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != _CL100K_SHA256:
        raise ConfigError(f"{path} is not cl100k_base.tiktoken, or is damaged.")
    pairs = (line.split() for line in data.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
