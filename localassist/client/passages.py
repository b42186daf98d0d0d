"""What an answer rests on: its citations, each with the passage that a search has found for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import openai
from openai.types.beta.threads import Message
from openai.types.beta.threads.runs import RunStep

_MARKER = re.compile(r"【\d+:\d+†[^】]*】")
_WITH_TEXT: Any = ["step_details.tool_calls[*].file_search.results[*].content"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A citation by the number under which it is shown. ``quote`` are the words of the file that
    are cited, ``place`` says where in it they stand; ``text`` and ``score`` (0 to 1) are those of
    the passage that the search had found. None where something is not known, or not any more."""

    number: int
    file_id: str
    filename: str
    quote: str
    text: str | None
    score: float | None
    place: str | None


class Numbers:
    """The numbers of an answer's citations, in the order in which they appear: ``【4:0†source】``
    becomes ``[1]``."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def replace(self, text: str) -> str:
        """A piece of the answer with its markers as numbers. Markers arrive whole."""
        return _MARKER.sub(lambda marker: f" [{self.of(marker[0])}]", text)

    def of(self, marker: str) -> int:
        return self._numbers.setdefault(marker, len(self._numbers) + 1)


def without_markers(text: str, annotations: Iterable[Any]) -> str:
    """A text without the markers of its citations."""
    for annotation in annotations:
        if annotation.type == "file_citation":
            text = text.replace(annotation.text, "")
    return text


def cited(client: openai.OpenAI, messages: Sequence[Message]) -> list[Passage]:
    """The passages that the messages of one run cite, by number. Raises what the SDK raises."""
    numbers = Numbers()
    citations: dict[int, Any] = {}
    for part in (part for message in messages for part in message.content if part.type == "text"):
        numbers.replace(part.text.value)
        for annotation in part.text.annotations:
            if annotation.type == "file_citation":
                citations.setdefault(numbers.of(annotation.text), annotation.file_citation)
    if not citations:
        return []
    found = _found(client, messages[0].thread_id, messages[0].run_id)
    return [_passage(client, number, citations[number], found) for number in sorted(citations)]


def _found(client: openai.OpenAI, thread_id: str, run_id: str | None) -> list[Any]:
    """What the searches of the run have found, best first in each."""
    if run_id is None:
        return []
    steps = client.beta.threads.runs.steps.list(
        run_id, thread_id=thread_id, order="asc", limit=100, include=_WITH_TEXT
    )
    return [result for step in steps for result in _results(step)]


def _results(step: RunStep) -> list[Any]:
    details = step.step_details
    calls = details.tool_calls if details.type == "tool_calls" else []
    return [
        result
        for call in calls
        if call.type == "file_search"
        for result in call.file_search.results or []
    ]


def _passage(client: openai.OpenAI, number: int, citation: Any, found: Sequence[Any]) -> Passage:
    quote = " ".join((getattr(citation, "quote", None) or "").split())
    of_file = [result for result in found if result.file_id == citation.file_id]
    best = next((result for result in of_file if quote in " ".join(_text(result).split())), None)
    return Passage(
        number,
        citation.file_id,
        _filename(client, citation.file_id),
        quote,
        None if best is None else _text(best),
        None if best is None else best.score,
        getattr(citation, "place", None),
    )


def _filename(client: openai.OpenAI, file_id: str) -> str:
    try:
        return client.files.retrieve(file_id).filename
    except openai.NotFoundError:
        return f"{file_id} (deleted)"


def _text(result: Any) -> str:
    return "\n".join(part.text for part in result.content or [] if part.text)
