"""What to search for, judged by the conversation alone. English; other texts are searched as they
are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from localassist.core import ChatMessage
from localassist.tools.file_search.sentences import sentences
from localassist.tools.file_search.small_talk import (
    is_small_talk,
    needs_no_documents,
    without_fillers,
)
from localassist.tools.file_search.terms import terms

_MOST_QUERIES = 4
_LONGEST_CONTEXT = 60  # words that may surround a question
_LONGEST_MESSAGE = 20_000  # characters
_LONGEST_QUERY = 600  # characters; an embedder reads little more
_FOLLOWED_BACK = 2  # questions
_FEW_TERMS = 3
_ENOUGH_TO_MEAN = 2  # terms before a pronoun that it may stand for
_ASKING = re.compile(
    r"[?？]\s*[\"”’)]*$|^(?:and |but |so |then )?(?:who|whom|whose|what|when|where|which|why|how"
    r"|is|are|was|were|do|does|did|can|could|has|have|had|will|would|should)\b",
    re.IGNORECASE,
)
# About the answer, not about what is asked.
_INSTRUCTION = re.compile(
    r"^(?:please )?(?:(?:answer|reply|respond|be (?:brief|concise|short|precise|honest)|keep it"
    r"|quote|cite|use (?:only )?(?:the |my |these )?(?:files?|documents?|sources?|context)|do not"
    r"|don't|give (?:me )?(?:only|just)|base your|only use|say so|explain briefly|think)\b)",
    re.IGNORECASE,
)
_POINTS_BACK = re.compile(
    r"\b(?:it|its|he|him|his|she|her|hers|they|them|their|theirs|this|that|these|those|former|latter"
    r"|(?:which|that|other|first|second|last) ones?)\b|\bthen\W*$",
    re.IGNORECASE,
)
# "that" mostly points nowhere, and so do these.
_POINTS_NOWHERE = re.compile(
    r"\w\s+that\s+\w+|\b(?:is|does|did|was|will|would|can) it (?:take|called|mean|like|possible"
    r"|necessary|common)\b|\b(?:this|these|those) \w+",
    re.IGNORECASE,
)
_THIS_THING = re.compile(r"\b(?:this|these|those) \w+", re.IGNORECASE)
_GOES_ON = re.compile(
    r"^(?:and|but|or|so|then|also|what about|how about|why not|what if)\b|\bthere\W*$",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<!^)\b(?!I\b)[A-ZÀ-Þ][\w’'-]*")


def queries_of(messages: Sequence[ChatMessage]) -> list[str]:
    """Search queries for the last user message, each complete in itself; empty when it asks for
    nothing that documents could hold. Joined by line ends they are what ``quote_first`` answers."""
    asked = [message.content for message in messages if message.role == "user"]
    if not asked or is_small_talk(asked[-1]) or needs_no_documents(asked[-1]):
        return []
    queries: list[str] = []
    for text in _questions(_ends(asked[-1])):
        earlier = [*asked[:-1], *queries]
        query = _completed(text, earlier)
        if query not in queries:
            queries.append(query)
    return queries[:_MOST_QUERIES]


def _ends(message: str) -> str:
    """A message without the middle of what is very long: it asks at one of its ends."""
    half = _LONGEST_MESSAGE // 2
    return message if len(message) <= 2 * half else f"{message[:half]}\n\n{message[-half:]}"


def _questions(message: str) -> list[str]:
    """The questions of a message; one alone with what is said around it."""
    said = [" ".join(message[at.start : at.end].split()) for at in sentences(message)]
    said = [without_fillers(sentence) for sentence in said if not _INSTRUCTION.match(sentence)]
    said = [sentence for sentence in said if terms(sentence) or _ASKING.search(sentence)]
    asking = [sentence for sentence in said if _ASKING.search(sentence)]
    if len(asking) > 1:
        return [sentence[:_LONGEST_QUERY] for sentence in asking]
    whole = " ".join(said)
    if asking and len(whole.split()) > _LONGEST_CONTEXT:
        whole = asking[0]
    return [(whole or " ".join(message.split()))[:_LONGEST_QUERY]]


def _completed(question: str, earlier: Sequence[str]) -> str:
    """A question that leans on an earlier one with that one's telling words."""
    query = question
    for before in reversed(earlier[-_FOLLOWED_BACK:]):
        if not _leans_back(query):
            break
        words = _telling_words(before, query)
        if words:
            query = f"{query} {words}"
    return query[:_LONGEST_QUERY]


def _leans_back(question: str) -> bool:
    """It goes on from what was said, has hardly a word of its own, or a pronoun before anything
    that this could stand for."""
    own = len(set(terms(question)))
    name = _NAME.search(question)
    if _GOES_ON.search(question) or own == 0 or (own == 1 and name is None):
        return True
    if own <= _FEW_TERMS and name is None and _THIS_THING.search(question):
        return True
    plain = _POINTS_NOWHERE.sub(lambda match: " " * len(match.group()), question)
    pronoun = _POINTS_BACK.search(plain)
    if pronoun is None or (name is not None and name.start() < pronoun.start()):
        return False
    return len(set(terms(question[: pronoun.start()]))) < _ENOUGH_TO_MEAN


def _telling_words(text: str, query: str) -> str:
    """The words of an earlier message that mean something and are not in the query yet."""
    known = set(terms(query))
    kept: list[str] = []
    for question in _questions(_ends(text))[-1:]:
        for word in question.split():
            own = [term for term in terms(word) if term not in known]
            if own:
                known.update(own)
                kept.append(word.strip('?!.,;:"“”()'))
    return " ".join(kept)
