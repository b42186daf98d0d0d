"""Threads as a person keeps them: listed with what they are about, and copied.

Works with a client of localassist; the list is an endpoint of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import openai
from openai.pagination import SyncCursorPage
from openai.types.beta import Assistant as Assistant
from openai.types.beta import Thread
from openai.types.beta.threads import Message as Message

from localassist.client.passages import without_markers

TITLE = "title"
_COUNTED = 100  # messages of a thread that are looked at for its summary


@dataclass(frozen=True, slots=True)
class Summary:
    """What a thread is about: its title, else the first words that were said. With ``has_more`` it
    has more messages than ``messages``. ``at`` is when the newest of them was made."""

    id: str
    title: str
    messages: int
    has_more: bool
    at: int


def list_threads(client: openai.OpenAI, limit: int = 20) -> SyncCursorPage[Thread]:
    """A page of the project's threads, newest first; iterating goes on to the next pages."""
    return client.get_api_list(
        "/threads",
        model=Thread,
        page=SyncCursorPage[Thread],
        options={"params": {"limit": limit}},
    )


def summaries(client: openai.OpenAI, limit: int) -> Iterator[Summary]:
    """The newest threads on which something was said, at most ``limit``."""
    found = 0
    for thread in list_threads(client, min(100, 2 * limit)):
        if found == limit:
            return
        try:
            page = client.beta.threads.messages.list(thread.id, order="asc", limit=_COUNTED)
        except openai.NotFoundError:  # deleted a moment ago
            continue
        if page.data:
            found += 1
            yield _summary(thread, page)


def title_of(thread: Thread, messages: Iterable[Message]) -> str:
    """The title it was given, else the beginning of what was said first, in one line."""
    given = (thread.metadata or {}).get(TITLE)
    said = given or next((text_of(message) for message in messages), "")
    return " ".join(said.split())


def text_of(message: Message) -> str:
    """What a message says, without the markers of its citations."""
    parts = [part.text for part in message.content if part.type == "text"]
    return "\n".join(without_markers(part.value, part.annotations) for part in parts)


def copy_thread(
    client: openai.OpenAI,
    thread_id: str,
    *,
    before: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Thread:
    """A new thread with the messages of another one and the files of its questions, up to but not
    including the message ``before``; ``metadata`` joins the other's.

    Copies what was said: calls of tools, images and links of answers stay with the first thread.
    Raises what the SDK raises.
    """
    threads = client.beta.threads
    source = threads.retrieve(thread_id)
    copied: list[Any] = []
    for message in threads.messages.list(thread_id, order="asc", limit=100):
        if message.id == before:
            break
        text = text_of(message)
        if not text:
            continue
        entry: dict[str, Any] = {"role": message.role, "content": text}
        if message.role == "user" and message.attachments:
            entry["attachments"] = [one.to_dict() for one in message.attachments]
        copied.append(entry)
    return threads.create(messages=copied, metadata={**(source.metadata or {}), **(metadata or {})})


def _summary(thread: Thread, page: SyncCursorPage[Message]) -> Summary:
    return Summary(
        thread.id,
        title_of(thread, page.data),
        len(page.data),
        page.has_next_page(),
        page.data[-1].created_at,
    )
