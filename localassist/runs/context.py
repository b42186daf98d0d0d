"""A thread's items as a conversation that fits the model. Pure, but for counting tokens.

What does not fit is left out from the middle: the first user message and the newest exchanges
stay, and a tool call never loses its outputs. Outputs that are too long for the newest exchange are
cut, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localassist.core import ChatMessage, Role, ToolCall
from localassist.errors import PromptRejected
from localassist.runs.built_ins import output_text, tool_of
from localassist.storage.items import Item

CountTokens = Callable[[Sequence[ChatMessage]], int]

# No text worth reading has more bytes than this for each of its tokens.
_MOST_BYTES_PER_TOKEN = 8
# The first user message gives way before the outputs are cut to fewer characters than this.
_WORTH_READING = 1000
# How close, in characters, a cut comes to the longest that fits.
_STEP = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the conversation, the thread message it comes from, if it is one, and the run
    that made it, if one did."""

    message: ChatMessage
    message_id: str | None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class CutOutput:
    """A tool's output of which only the first ``kept_characters`` are shown to the model."""

    tool_call_id: str | None
    characters: int
    kept_characters: int


@dataclass(frozen=True, slots=True)
class Context:
    """The conversation to send. ``dropped`` are the ids of thread messages that were left out,
    ``cut`` the tool outputs that are shown in part."""

    messages: tuple[ChatMessage, ...]
    prompt_tokens: int
    dropped: tuple[str, ...]
    cut: tuple[CutOutput, ...] = ()


def conversation(
    items: Sequence[Item], run_id: str | None = None, hidden: Container[str] = ()
) -> list[Entry]:
    """Items as chat messages. A turn that said something and then called tools is one message.
    Calls that were never answered, because their run ended first, are left out, and so are those of
    built-in tools in other runs than ``run_id``, for what was found is for the run that looked for
    it, and those of ``hidden`` tools. Images that our code has shown are left out, too.

    Raises PromptRejected for images of the caller's, which no text model can read.
    """

    def is_seen(item: Item, entry: Mapping[str, Any]) -> bool:
        tool = tool_of(entry)
        is_own = run_id is not None and item.run_id == run_id
        return tool is None or (is_own and tool not in hidden)

    entries: list[Entry] = []
    answered = {item.payload["call_id"] for item in items if item.kind == "output"}
    for item in items:
        if item.kind == "message":
            role: Role = "assistant" if item.role == "assistant" else "user"
            message = ChatMessage(role, _text(item), generated=item.generated)
            entries.append(Entry(message, item.message_id, item.run_id))
        elif item.kind == "calls":
            made = [call for call in item.payload["calls"] if is_seen(item, call)]
            if not made or not answered.issuperset(call["id"] for call in made):
                continue
            said = item.payload.get("said_in")
            text = ""
            if said is not None and entries and entries[-1].message_id == said:
                text = entries.pop().message.content
            calls = tuple(ToolCall(c["id"], c["name"], c["arguments"]) for c in made)
            is_whole = len(made) == len(item.payload["calls"])
            generated = item.generated if is_whole else None
            message = ChatMessage("assistant", text, tool_calls=calls, generated=generated)
            entries.append(Entry(message, said, item.run_id))
        elif is_seen(item, item.payload):
            payload = item.payload
            message = ChatMessage(
                "tool",
                output_text(payload),
                tool_call_id=payload["call_id"],
                tool_name=payload["name"],
            )
            entries.append(Entry(message, None, item.run_id))
    return entries


def newest_question(items: Sequence[Item]) -> str:
    """The newest message of the user's."""
    asked = [e.message for e in conversation(items) if e.message.role == "user"]
    return asked[-1].content if asked else ""


def fit(
    entries: Sequence[Entry],
    instructions: str,
    *,
    budget_tokens: int,
    last_messages: int | None,
    count: CountTokens,
    run_id: str | None = None,
    may_cut: bool = True,
) -> Context | None:
    """The largest recent part of the conversation whose prompt has at most ``budget_tokens``.

    ``last_messages`` does not count what ``run_id`` itself has said. With ``may_cut``, the outputs
    of tools in the newest exchange are cut when nothing else is left to leave out. None when even
    the instructions with the newest exchange do not fit.
    """
    system = [ChatMessage("system", instructions)] if instructions else []
    first, exchanges = _exchanges(entries[_start(entries, last_messages, run_id) :])

    def context(parts: Sequence[Entry], cut: Sequence[CutOutput] = ()) -> Context | None:
        messages = (*system, *(entry.message for entry in parts))
        size = count(messages)
        if size > budget_tokens:
            return None
        shown = {entry.message_id for entry in parts}
        gone = [e.message_id for e in entries if e.message_id and e.message_id not in shown]
        return Context(messages, size, tuple(gone), tuple(cut))

    newest = exchanges[-1] if exchanges else []
    is_cuttable = may_cut and any(entry.message.role == "tool" for entry in newest)
    oldest = _hopeless(exchanges, budget_tokens)
    found = None
    if not (is_cuttable and oldest == len(exchanges)):
        found = _most_recent(first, exchanges, oldest, context)
    if found is None and is_cuttable:
        most_characters = budget_tokens * _MOST_BYTES_PER_TOKEN
        found = _with_cut_outputs(first, newest, _WORTH_READING, most_characters, context)
        found = found or _with_cut_outputs([], newest, 0, most_characters, context)
    return found


def _most_recent(
    first: list[Entry],
    exchanges: Sequence[Sequence[Entry]],
    oldest: int,
    context: Callable[[Sequence[Entry]], Context | None],
) -> Context | None:
    """As many whole exchanges as fit, none of those before ``oldest``; the newest at least."""

    def skipping(skipped: int, opening: list[Entry]) -> Context | None:
        return context([*opening, *(e for exchange in exchanges[skipped:] for e in exchange)])

    most = len(exchanges) - 1
    low, high = min(oldest, max(0, most)), most
    if low == 0 and (whole := skipping(0, first)) is not None:
        return whole
    while low < high:
        middle = (low + high) // 2
        if skipping(middle, first) is None:
            low = middle + 1
        else:
            high = middle
    # Cutting a little more than needed, in even steps, leaves the beginning of the prompt the same
    # for some turns, and with it the model's cache.
    step = max(1, len(exchanges) // 8)
    return skipping(min(most, -(-low // step) * step), first) or skipping(most, [])


def _with_cut_outputs(
    opening: list[Entry],
    newest: Sequence[Entry],
    least: int,
    most: int,
    context: Callable[[Sequence[Entry], Sequence[CutOutput]], Context | None],
) -> Context | None:
    """The newest exchange with its outputs cut to one length, the greatest of ``least`` to ``most``
    characters that fits. Outputs below it stay whole, so the longest give most."""

    def attempt(limit: int) -> Context | None:
        shown = [_shortened(entry, limit) for entry in newest]
        cut = [
            CutOutput(entry.message.tool_call_id, len(entry.message.content), limit)
            for entry, short in zip(newest, shown, strict=True)
            if short is not entry
        ]
        return context([*opening, *shown], cut)

    best = attempt(least)
    while best is not None and most - least > _STEP:
        middle = (least + most) // 2
        better = attempt(middle)
        if better is None:
            most = middle
        else:
            best, least = better, middle
    return best


def _shortened(entry: Entry, limit: int) -> Entry:
    """The entry with at most ``limit`` characters of a tool's output and a note on the rest."""
    text = entry.message.content
    note = f"\n[… {len(text) - limit:,} characters left out]"
    if entry.message.role != "tool" or len(text) <= limit + len(note):
        return entry
    return replace(entry, message=replace(entry.message, content=text[:limit] + note))


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
    follows them has more bytes than the tokens of the budget can stand for."""
    room = budget_tokens * _MOST_BYTES_PER_TOKEN
    for number in range(len(exchanges) - 1, -1, -1):
        room -= sum(len(entry.message.content.encode()) for entry in exchanges[number])
        if room < 0:
            return number + 1
    return 0


def _start(entries: Sequence[Entry], last_messages: int | None, run_id: str | None) -> int:
    """Where the last ``last_messages`` thread messages begin, not counting those of the run."""
    positions = [
        number
        for number, entry in enumerate(entries)
        if entry.message_id is not None and (run_id is None or entry.run_id != run_id)
    ]
    if last_messages is None or len(positions) <= last_messages:
        return 0
    return positions[-last_messages]


def _text(item: Item) -> str:
    is_ours = item.role == "assistant" and item.run_id is not None
    shown = [p for p in item.content if not (is_ours and p["type"] == "image_file")]
    return "\n".join(_part_text(part, item.message_id) for part in shown)


def _part_text(part: dict[str, Any], message_id: str | None) -> str:
    if part["type"] == "text":
        return _without_markers(part["text"])
    if part["type"] == "refusal":
        return str(part["refusal"])
    raise PromptRejected(f"Message {message_id} contains an image, and this model reads only text.")


def _without_markers(text: dict[str, Any]) -> str:
    """A text without its citations, which point to passages that are not shown any more."""
    kept, end = [], 0
    for annotation in text.get("annotations") or []:
        if annotation["type"] == "file_citation":
            kept.append(text["value"][end : annotation["start_index"]])
            end = annotation["end_index"]
    return "".join([*kept, text["value"][end:]])
