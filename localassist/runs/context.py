"""A thread's items as a conversation that fits the model. Pure, but for counting tokens.

What does not fit is left out from the middle: the first user message and the newest exchanges
stay, and a tool call never loses its outputs (contract: lifecycle.md, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.core import ChatMessage, Role, ToolCall
from localassist.errors import PromptRejected
from localassist.storage.items import Item

CountTokens = Callable[[Sequence[ChatMessage]], int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the conversation and the thread message it comes from, if it is one."""

    message: ChatMessage
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Context:
    """The conversation to send. ``dropped`` are the ids of thread messages that were left out."""

    messages: tuple[ChatMessage, ...]
    prompt_tokens: int
    dropped: tuple[str, ...]


def conversation(items: Sequence[Item]) -> list[Entry]:
    """Items as chat messages. A turn that said something and then called tools is one message.
    Calls that were never answered, because their run ended first, are left out.

    Raises PromptRejected for images, which no text model can read.
    """
    entries: list[Entry] = []
    answered = {item.payload["call_id"] for item in items if item.kind == "output"}
    for item in items:
        if item.kind == "message":
            role: Role = "assistant" if item.role == "assistant" else "user"
            message = ChatMessage(role, _text(item), generated=item.generated)
            entries.append(Entry(message, item.message_id))
        elif item.kind == "calls":
            if not answered.issuperset(call["id"] for call in item.payload["calls"]):
                continue
            said = item.payload.get("said_in")
            text = ""
            if said is not None and entries and entries[-1].message_id == said:
                text = entries.pop().message.content
            calls = tuple(
                ToolCall(c["id"], c["name"], c["arguments"]) for c in item.payload["calls"]
            )
            message = ChatMessage("assistant", text, tool_calls=calls, generated=item.generated)
            entries.append(Entry(message, said))
        else:
            payload = item.payload
            message = ChatMessage(
                "tool",
                payload["output"],
                tool_call_id=payload["call_id"],
                tool_name=payload["name"],
            )
            entries.append(Entry(message, None))
    return entries


def fit(
    entries: Sequence[Entry],
    instructions: str,
    *,
    budget_tokens: int,
    last_messages: int | None,
    count: CountTokens,
) -> Context | None:
    """The largest recent part of the conversation whose prompt has at most ``budget_tokens``.

    None when even the instructions with the newest exchange do not fit.
    """
    system = [ChatMessage("system", instructions)] if instructions else []
    start = _start(entries, last_messages)
    first, exchanges = _exchanges(entries[start:])

    def context(skipped: int, opening: list[Entry]) -> Context | None:
        chosen = [*opening, *(entry for exchange in exchanges[skipped:] for entry in exchange)]
        messages = (*system, *(entry.message for entry in chosen))
        size = count(messages)
        if size > budget_tokens:
            return None
        shown = {entry.message_id for entry in chosen}
        gone = [e.message_id for e in entries if e.message_id and e.message_id not in shown]
        return Context(messages, size, tuple(gone))

    most = len(exchanges) - 1
    low, high = _hopeless(exchanges, budget_tokens), most
    if low == 0 and (whole := context(0, first)) is not None:
        return whole
    while low < high:
        middle = (low + high) // 2
        if context(middle, first) is None:
            low = middle + 1
        else:
            high = middle
    # Cutting a little more than needed, in even steps, leaves the beginning of the prompt the same
    # for some turns, and with it the model's cache.
    step = max(1, len(exchanges) // 8)
    return context(min(most, -(-low // step) * step), first) or context(most, [])


def _exchanges(entries: Sequence[Entry]) -> tuple[list[Entry], list[list[Entry]]]:
    """The first user message, and the rest cut before each user message."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if entry.message.role == "user" or not groups:
            groups.append([])
        groups[-1].append(entry)
    if len(groups) < 2 or groups[0][0].message.role != "user":
        return [], groups
    first = [groups[0][0]]
    rest = [groups[0][1:], *groups[1:]] if len(groups[0]) > 1 else groups[1:]
    return first, rest


def _hopeless(exchanges: Sequence[Sequence[Entry]], budget_tokens: int) -> int:
    """How many of the oldest exchanges can be given up without counting their tokens, because what
    follows them has more than eight bytes for every token of the budget."""
    room = budget_tokens * 8
    for number in range(len(exchanges) - 1, -1, -1):
        room -= sum(len(entry.message.content.encode()) for entry in exchanges[number])
        if room < 0:
            return min(number + 1, len(exchanges) - 1)
    return 0


def _start(entries: Sequence[Entry], last_messages: int | None) -> int:
    """Where the last ``last_messages`` thread messages begin."""
    positions = [n for n, entry in enumerate(entries) if entry.message_id is not None]
    if last_messages is None or len(positions) <= last_messages:
        return 0
    return positions[-last_messages]


def _text(item: Item) -> str:
    texts: list[str] = []
    for part in item.content:
        texts.append(_part_text(part, item.message_id))
    return "\n".join(texts)


def _part_text(part: dict[str, Any], message_id: str | None) -> str:
    if part["type"] == "text":
        return str(part["text"]["value"])
    if part["type"] == "refusal":
        return str(part["refusal"])
    raise PromptRejected(f"Message {message_id} contains an image, and this model reads only text.")
