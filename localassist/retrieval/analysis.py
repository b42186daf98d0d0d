"""Texts to the terms of lexical search: words in lower case, without stop words, stemmed.

Pure Python over Snowball stemmers, so that a term is the same for index and query, on every
machine. Scripts that write no spaces between words become pairs of neighbouring characters.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache
from typing import Any

STANDARD_LANGUAGE = "en"
"""Stands in where a file's language is not known."""

MAX_TERM_CHARACTERS = 64
"""Longer runs, such as base64, are cut: nobody asks for them by their end."""

# ISO 639-1 to the names of Snowball's algorithms.
_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian",
    "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali",
    "nl": "dutch", "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

# Function words only: what carries no topic. A word that is missing here costs little, because
# frequent words weigh little anyway.
_STOP_WORDS = {
    "da": "af at de den der det du en er et for fra ham han har hun i ikke jeg med men og om på "
    "sig som til var vi",
    "de": "aber als am an auch auf aus bei bin bis bist da damit dann das dass dem den der des die "
    "dies diese dieser doch du durch ein eine einem einen einer eines er es für hat hatte ich ihr "
    "im in ist ja kann mit nach nicht noch nur ob oder sein sich sie sind so über um und uns von "
    "vor war waren was wenn wer wie wir wird wo zu zum zur",
    "en": "a an and are as at be but by for if in into is it no not of on or such that the their "
    "then there these they this to was will with",
    "es": "a al como con cual cuando de del desde donde e el ella en entre era es esta este esto "
    "fue ha la las le lo los más me no o para pero por que qué se ser si sin sobre son su sus un "
    "una y ya",
    "fi": "ei että hän he ja jos joka kuin me mikä mutta ne niin nyt oli on ovat se sen tai "
    "tämä te",
    "fr": "a au aux avec ce ces cette dans de des du elle en est et été il ils je la le les leur "
    "lui mais ne nous on ou où par pas pour qu que qui sa se ses son sont sur un une vous y",
    "it": "a ad al alla che chi come con da dal dalla degli dei del della di e è gli ha i il in io "
    "la le lo ma nel nella non o per più se si sono su sul una un",
    "nl": "aan als bij dat de deze die dit door een en er het hij ik in is je maar met naar niet "
    "of om ook op te tot uit van voor was wat we wel wie worden zijn zo",
    "no": "av at de den der det du en er et for fra ham han har hun i ikke jeg med men og om på "
    "seg som til var vi",
    "pt": "a ao aos as até com como da das de do dos e é ela ele em entre era foi há isso já mais "
    "mas na não nas no nos o os ou para pela pelo por que se sem ser seu sua são um uma",
    "ru": "а без бы был была были было быть в вы где да для до его ее если есть же за и из или им "
    "их к как ко кто ли мы на не но о об он она они от по при с со так там то у что это я",
    "sv": "att av de den det du då en ett för från han har hon i inte jag kan med men och om på "
    "sig som till var vi är",
}  # fmt: skip

# Combining marks belong to the word; the underscore of identifiers parts words.
_WORD = re.compile(
    r"(?:[^\W_]|[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u0900-\u0963\u0970-\u0dff\u0e31-\u0e4e\u0eb1-\u0ecd\u0f35-\u0f84\u102b-\u103e\u17b4-\u17d3])+"
)
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_local = threading.local()


def analyse(text: str, language: str = STANDARD_LANGUAGE) -> list[str]:
    """The terms of ``text``, in order, with repetitions. ``language`` is an ISO 639-1 code; one
    without a stemmer keeps its words as they are, an empty one counts as English."""
    language = language or STANDARD_LANGUAGE
    folded = unicodedata.normalize("NFKC", text).lower()
    words = _WORD.findall(folded)
    if not folded.isascii() and _UNSPACED.search(folded):
        words = [part for word in words for part in _parts(word)]
    stop = _stop_words(language)
    kept = [word[:MAX_TERM_CHARACTERS] for word in words if word not in stop]
    stemmer = _stemmer(language)
    return kept if stemmer is None else stemmer.stemWords(kept)


def _parts(word: str) -> list[str]:
    """A word with its unspaced runs as bigrams; a run of one character stays one."""
    parts, end = [], 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            parts.append(word[end : run.start()])
        characters = run.group()
        parts += [characters[i : i + 2] for i in range(max(len(characters) - 1, 1))]
        end = run.end()
    if end < len(word):
        parts.append(word[end:])
    return parts


@cache
def _stop_words(language: str) -> frozenset[str]:
    return frozenset(_STOP_WORDS.get(language, "").split())


def _stemmer(language: str) -> Any:
    """This thread's stemmer of the language: its cache must not be used by two at once."""
    stemmers: dict[str, Any] = _local.__dict__
    if language not in stemmers:
        import Stemmer

        name = _ALGORITHMS.get(language)
        has = name is not None and name in Stemmer.algorithms()
        stemmers[language] = Stemmer.Stemmer(name) if has else None
    return stemmers[language]
