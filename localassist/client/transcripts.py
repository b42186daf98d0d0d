"""A conversation to keep: as Markdown that people read, and as the objects of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

import openai
from openai.types.beta.threads import Message

from localassist.client.passages import Numbers, Passage, cited
from localassist.client.threads import title_of

_SPEAKERS = {"user": "You", "assistant": "Answer"}


def as_markdown(client: openai.OpenAI, thread_id: str) -> str:
    """The conversation with its citations as numbers and their sources below each answer."""
    threads = client.beta.threads
    messages = list(threads.messages.list(thread_id, order="asc", limit=100))
    title = title_of(threads.retrieve(thread_id), messages) or thread_id
    parts = [f"# {title}", f"{thread_id}, {_at(messages[0])} UTC" if messages else thread_id]
    for _, group in groupby(messages, key=lambda one: (one.role, one.run_id or one.id)):
        parts += _turn(client, list(group))
    return "\n\n".join(parts) + "\n"


def as_objects(client: openai.OpenAI, thread_id: str) -> dict[str, Any]:
    """The thread, its messages, runs and steps, oldest first, the assistants that answered, and the
    files that messages name, as the API returns them."""
    threads = client.beta.threads
    messages = list(threads.messages.list(thread_id, order="asc", limit=100))
    runs = list(threads.runs.list(thread_id, order="asc", limit=100))
    steps = [
        step
        for run in runs
        for step in threads.runs.steps.list(run.id, thread_id=thread_id, order="asc", limit=100)
    ]
    assistants = []
    for assistant_id in dict.fromkeys(run.assistant_id for run in runs):
        with suppress(openai.NotFoundError):
            assistants.append(client.beta.assistants.retrieve(assistant_id))
    files = []
    for file_id in dict.fromkeys(file_id for one in messages for file_id in _files_of(one)):
        with suppress(openai.NotFoundError):
            files.append(client.files.retrieve(file_id))
    return {
        "thread": threads.retrieve(thread_id).to_dict(),
        "messages": [one.to_dict() for one in messages],
        "runs": [one.to_dict() for one in runs],
        "steps": [one.to_dict() for one in steps],
        "assistants": [one.to_dict() for one in assistants],
        "files": [one.to_dict() for one in files],
    }


def _turn(client: openai.OpenAI, messages: list[Message]) -> Iterator[str]:
    """What one side said at a time."""
    numbers = Numbers()
    yield f"## {_SPEAKERS[messages[0].role]}"
    for message in messages:
        names = [_filename(client, one.file_id) for one in message.attachments or [] if one.file_id]
        if names:
            yield f"*With {', '.join(names)}*"
        for part in message.content:
            if part.type == "text":
                yield numbers.replace(part.text.value)
            elif part.type == "image_file":
                yield f"*An image: {part.image_file.file_id}*"
    if numbers:
        yield "\n".join(map(_source, cited(client, messages)))


def _source(passage: Passage) -> str:
    where = ", ".join(filter(None, [passage.filename, passage.place]))
    quote = f": “{passage.quote}”" if passage.quote else ""
    return f"- [{passage.number}] {where}{quote}"


def _filename(client: openai.OpenAI, file_id: str) -> str:
    try:
        return client.files.retrieve(file_id).filename
    except openai.NotFoundError:
        return file_id


def _files_of(message: Message) -> Iterator[str]:
    for attachment in message.attachments or []:
        if attachment.file_id:
            yield attachment.file_id
    for part in message.content:
        if part.type == "image_file":
            yield part.image_file.file_id
        for annotation in part.text.annotations if part.type == "text" else []:
            if annotation.type == "file_citation":
                yield annotation.file_citation.file_id
            else:
                yield annotation.file_path.file_id


def _at(message: Message) -> str:
    return datetime.fromtimestamp(message.created_at, timezone.utc).strftime("%Y-%m-%d %H:%M")
