"""Which language a text is in."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# Languages that have a Snowball stemmer and enough text in the world to be told apart.
_STEMMED = (
    "ar ca da de el en es et eu fa fi fr ga hi hu hy id it lt ne nl no pl pt ro ru sr sv ta tr"
).split()
_OTHERS = "cs sk uk bg hr sl he th vi ja ko zh".split()
_SLICE, _SLICES = 2000, 4
_FEWEST_LETTERS = 16
_LETTERS = re.compile(r"[^\W\d_]+")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HAN = re.compile("[\u4e00-\u9fff]")
_SURE = 0.6


def language_of(text: str) -> str:
    """ISO 639-1 code, empty where the text is too short or it cannot be told."""
    sample = _sample(text)
    letters = sum(map(len, _LETTERS.findall(sample)))
    if not letters:
        return ""
    for pattern, share, code in ((_KANA, 0.1, "ja"), (_HANGUL, 0.3, "ko"), (_HAN, 0.4, "zh")):
        if len(pattern.findall(sample)) > share * letters:
            return code
    if letters < _FEWEST_LETTERS:
        return ""
    code, probability = identifier().classify(" ".join(_LETTERS.findall(sample)))
    code = "no" if code in ("nb", "nn") else code
    return code if probability >= _SURE else ""


def _sample(text: str) -> str:
    """A few stretches from all over the text: the beginning may be a page of names."""
    if len(text) <= _SLICE * _SLICES:
        return text
    step = (len(text) - _SLICE) // (_SLICES - 1)
    return "\n".join(text[i * step : i * step + _SLICE] for i in range(_SLICES))


@lru_cache(maxsize=1)
def identifier() -> Any:
    """The model, loaded once; this writes a temporary file."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(found.nb_classes)
    found.set_languages([code for code in (*_STEMMED, *_OTHERS, "nb", "nn") if code in known])
    return found
