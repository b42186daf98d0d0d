"""Answers in which a quotation with a marker can only be a verbatim stretch of a passage.

The answer is free text but for three marks: “ opens a quotation, which goes on with words of one
passage in their order, ends with ” and is followed by that passage's marker; 【 begins the marker
of a result. A marker cannot follow other quotation marks, so that nothing else looks quoted and
cited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from localassist.chat.formats.json_values import grammar_of, quote
from localassist.core import Constraint
from localassist.tools.file_search.results import Result, spoken

# With a vocabulary of 49,152 tokens this takes 110 ms to compile, and 10 ms for the mask at the
# beginning of a quotation. Two and a half times as much is over llguidance's own limits.
_MOST_CHARACTERS = 20_000
_MOST_QUOTABLE = 20  # passages
_QUOTES = "\"'`´«»‹›„‟‚‛‘’「」『』＂＇″"
_FREE = "[^“”【】]"
# A letter or figure stands between the last quotation mark and the marker.
_STATED = rf"/{_FREE}*[\p{{L}}\p{{N}}][^“”【】{_QUOTES}]*【/"
_UNPARTED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# A quotation is a run of these: words, the white space and the punctuation between them, and single
# characters where words are not parted.
_CHUNK = re.compile(rf"[\s,;:.!?)\]]|[{_UNPARTED}]|[^\s{_UNPARTED}]*[^\s{_UNPARTED},;:.!?)\]]|\S")
# It begins with no punctuation, and with no white space at either end.
_WHOLE = r"/[^\s,;:.!?)\]]((.|\n)*\S)?/"


def grounded_answer(results: Sequence[Result]) -> Constraint | None:
    """The constraint of a free answer about these results; None where there is nothing to quote."""
    rules = grounded_rules(results)
    return grammar_of(["start: grounded", *rules]) if rules else None


def grounded_rules(results: Sequence[Result]) -> list[str]:
    """The same as Lark rules, ``grounded`` being the answer. Of very much text the first results
    can be quoted, the others only be cited."""
    if not results:
        return []
    quotable: list[str] = []
    rules: list[str] = []
    left = _MOST_CHARACTERS
    for at, result in enumerate(results):
        text = spoken(result.passage.text)
        left -= len(text)
        if left < 0 or not text or len(quotable) == _MOST_QUOTABLE:
            continue
        chunks = {"substring_chunks": _CHUNK.findall(text)}
        quotable.append(f"QUOTED_{at}")
        rules += [
            f"WORDS_{at}: %regex {json.dumps(chunks, ensure_ascii=False)}",
            f"QUOTED_{at}: (WORDS_{at} & {_WHOLE}) {quote('”' + result.marker)}",
        ]
    markers = " | ".join(quote(result.marker.removeprefix("【")) for result in results)
    parts = ["STATED MARKER", *([f"OPENING ({' | '.join(quotable)})"] if quotable else [])]
    return [
        "grounded: part* LAST?",
        f"part: {' | '.join(parts)}",
        f"LAST: /{_FREE}+/",
        f"STATED: {_STATED}",
        f"MARKER: {markers}",
        *([f"OPENING: /{_FREE}*“/"] if quotable else []),
        *rules,
    ]
