"""A conversation as the token ids a model continues.

Two rules shape this module. What the model itself generated goes back into the prompt token for
token, because other tokens for the same text would throw its KV cells away. And what a person or a
tool wrote is never read as a control token, because that would let them forge a turn. Both are done
by rendering the template with placeholders and splicing tokens where the placeholders come out.

Knows no engine: a ``Tokenizer`` is handed in. Does not count or truncate; ``runs`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from localassist.chat.formats.base import STAND_IN_ID, ToolCallFormat, wire_tool
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, GeneratedText, Role, ToolCall, ToolSpec

_BETWEEN = "\n\n"


class Tokenizer(Protocol):
    """The part of an engine that prompts need."""

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads; ``text`` is for people and logs."""

    token_ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of a message. ``token_ids`` are how it has to appear, None makes no demand.

    ``gives_way``: when the template changes this text, its rendering wins over ``token_ids``.
    ``before`` and ``after`` are what the template puts around it although the text has it already.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    gives_way: bool = False
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class _Turn:
    role: Role
    parts: tuple[_Part, ...]
    fields: Mapping[str, Any]  # what else the template sees: tool_calls, name, tool_call_id
    is_calling: bool = False  # the part stands in for the name in a call


class PromptBuilder:
    """Builds prompts for one model. Stateless between calls."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        tool_format: ToolCallFormat,
        model_id: str,
        system_prompt: str | None = None,
    ) -> None:
        """``system_prompt`` begins conversations that bring none of their own."""
        self._system_prompt = system_prompt
        self._tokenizer = tokenizer
        self._template = template
        self._format = tool_format
        self._model_id = model_id

    @property
    def template(self) -> ChatTemplate:
        """How the model's conversations are written."""
        return self._template

    @property
    def generation_prefix(self) -> str:
        """The text after which the model's turn begins."""
        return self._template.generation_prefix

    def build(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()) -> Prompt:
        """The prompt for the next assistant turn.

        ``build(history + [reply, new message])`` starts with the tokens of ``build(history)`` and
        of the reply as long as the template only appends.
        Raises PromptRejected when the template refuses the conversation.
        """
        turns = self._turns(messages, tools)
        shown = [wire_tool(tool) for tool in tools] if self._shows_tools else []
        placeholders = _Placeholders(part for turn in turns for part in turn.parts)
        rendering = self._rendering(turns, shown, placeholders)
        token_ids: list[int] = []
        text = ""
        surplus = ""
        for piece, part in placeholders.split(rendering):
            piece = piece.removeprefix(surplus)
            if part is not None:
                piece = piece.removesuffix(part.before)
                surplus = part.after
            text += piece
            if piece:
                token_ids += self._tokenizer.tokenize(piece, parse_special=True)
            if part is not None:
                text += part.text
                token_ids += part.token_ids or ()
        return Prompt(tuple(token_ids), text)

    def _rendering(
        self,
        turns: Sequence[_Turn],
        tools: Sequence[Mapping[str, Any]],
        placeholders: _Placeholders,
    ) -> str:
        """The rendered conversation with as many placeholders as are sound.

        Texts that spell control tokens always have one. The model's own texts have one unless the
        template changes such a text (drops past reasoning, say): then its rendering wins.
        """
        plain = self._render(turns, tools, placeholders, placeholders.forced)
        wanted = set(placeholders.wanted)
        while wanted:
            spliced = self._render(turns, tools, placeholders, placeholders.forced | wanted)
            changed = placeholders.first_changed(spliced, plain, wanted)
            if changed is None:
                return spliced
            wanted.discard(changed)
        return plain

    def _render(
        self,
        turns: Sequence[_Turn],
        tools: Sequence[Mapping[str, Any]],
        placeholders: _Placeholders,
        hidden: set[int],
    ) -> str:
        messages = []
        position = 0
        for turn in turns:
            content = ""
            for part in turn.parts:
                content += placeholders.name(position) if position in hidden else part.text
                position += 1
            fields = dict(turn.fields)
            if turn.is_calling:
                fields["tool_calls"] = [self._format.wire_call(_stand_in(content))]
                content = ""
            messages.append({"role": turn.role, "content": content, **fields})
        return self._template.render(messages, tools)

    def _turns(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> list[_Turn]:
        """The messages in terms this template can express."""
        leading = 0
        while leading < len(messages) and messages[leading].role == "system":
            leading += 1
        system = [message.content for message in messages[:leading] if message.content]
        if not system and self._system_prompt:
            system = [self._system_prompt]
        if tools and not self._shows_tools:
            system += [text for text in [self._format.system_text(tools)] if text]
        written = self._written_ids(messages)
        turns = [self._turn(message, written) for message in messages[leading:]]
        if system:
            parts = _joined([[self._part(text)] for text in system])
            turns.insert(0, _Turn("system", parts, {}))
        if not self._template.supports_system:
            turns = _without_system(turns)
        return _alternating(turns) if self._template.needs_alternation else turns

    @property
    def _shows_tools(self) -> bool:
        return self._format.in_template and self._template.supports_tools

    def _turn(self, message: ChatMessage, written: Mapping[str, str]) -> _Turn:
        if message.role == "assistant":
            return self._assistant_turn(message)
        if message.role != "tool":
            return _Turn(message.role, (self._part(message.content),), {})
        template = self._template
        if (
            self._format.in_template
            and template.supports_tool_calls
            and template.supports_tool_role
        ):
            call_id, name = message.tool_call_id, message.tool_name
            if call_id is not None:
                call_id = written.get(call_id) or self._format.call_id(call_id)
            if name is not None and not self._is_harmless(name):
                name = None
            fields = {"name": name, "tool_call_id": call_id}
            return _Turn("tool", (self._part(message.content),), fields)
        text = self._format.render_result(message.tool_name, message.content)
        return _Turn("user", (self._part(text),), {})

    def _written_ids(self, messages: Sequence[ChatMessage]) -> dict[str, str]:
        """What the model itself called its calls, by our ids: results must name the same."""
        ids: dict[str, str] = {}
        for message in messages:
            if message.tool_calls and message.generated is not None and self._is_own(message):
                parser = self._format.parser()
                parser.feed(message.generated.text)
                parser.finish()
                for index, call in enumerate(message.tool_calls):
                    if index in parser.written_ids:
                        ids[call.id] = parser.written_ids[index]
        return ids

    def _is_own(self, message: ChatMessage) -> bool:
        own = message.generated
        return own is not None and bool(own.token_ids) and own.model_id == self._model_id

    def _assistant_turn(self, message: ChatMessage) -> _Turn:
        if message.generated is not None and self._is_own(message):
            return self._own_turn(message.generated, message.tool_calls)
        if not message.tool_calls:
            return _Turn("assistant", (self._part(message.content),), {})
        calls = message.tool_calls
        if not all(self._is_harmless(call.name, call.arguments) for call in calls):
            # Kept from the template, which would render control tokens.
            written = self._part(self._format.render_calls(calls))
        elif self._template.supports_tool_calls and self._format.can_show(calls):
            fields = {"tool_calls": [self._format.wire_call(call) for call in calls]}
            return _Turn("assistant", (self._part(message.content),), fields)
        else:
            written = _Part(self._format.render_calls(calls))
        content = [[self._part(message.content)]] if message.content else []
        return _Turn("assistant", _joined([*content, [written]]), {})

    def _is_harmless(self, *texts: str) -> bool:
        """None of the texts spells a control token."""
        return all(self._part(text).token_ids is None for text in texts)

    def _own_turn(self, own: GeneratedText, calls: Sequence[ToolCall]) -> _Turn:
        """What the model wrote, token for token."""
        around = self._format.around_name()
        if calls and around is not None and self._template.needs_calls:
            part = _Part(own.text, own.token_ids, before=around[0], after=around[1])
            return _Turn("assistant", (part,), {}, is_calling=True)
        before = self._format.text_begin
        gives_way = not before and self._is_harmless(own.text)
        return _Turn("assistant", (_Part(own.text, own.token_ids, gives_way, before),), {})

    def _part(self, text: str) -> _Part:
        """The text, with tokens of its own when it spells control tokens."""
        ordinary = self._tokenizer.tokenize(text, parse_special=False)
        if ordinary == self._tokenizer.tokenize(text, parse_special=True):
            return _Part(text)
        return _Part(text, tuple(ordinary))


class _Placeholders:
    """Stand-ins for parts in a rendered conversation: plain characters no message contains."""

    def __init__(self, parts: Iterable[_Part]) -> None:
        self._parts = list(parts)
        self._salt = "qz7part"
        while any(self._salt in part.text for part in self._parts):
            self._salt += "q"
        self._pattern = re.compile(f"{self._salt}x([0-9]+)x")
        demanding = [
            position for position, part in enumerate(self._parts) if part.token_ids is not None
        ]
        self.wanted = {position for position in demanding if self._parts[position].gives_way}
        self.forced = set(demanding) - self.wanted

    def name(self, position: int) -> str:
        return f"{self._salt}x{position}x"

    def split(self, rendering: str) -> list[tuple[str, _Part | None]]:
        """Text and the part that follows it, in order; None after the last text."""
        pieces = self._pattern.split(rendering)
        followers = [self._parts[int(position)] for position in pieces[1::2]]
        return list(zip(pieces[::2], [*followers, None], strict=True))

    def first_changed(self, spliced: str, plain: str, wanted: set[int]) -> int | None:
        """The first ``wanted`` part whose text ``plain`` lacks where ``spliced`` names it;
        None when putting all texts in gives exactly ``plain``."""
        offset = 0
        last = min(wanted)
        for index, piece in enumerate(self._pattern.split(spliced)):
            text = piece
            if index % 2:
                position = int(piece)
                last = position if position in wanted else last
                text = self._parts[position].text if position in wanted else self.name(position)
            if not plain.startswith(text, offset):
                return last
            offset += len(text)
        return None if offset == len(plain) else last


def _joined(groups: Iterable[Iterable[_Part]]) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    for group in groups:
        parts += [_Part(_BETWEEN), *group] if parts else list(group)
    return tuple(parts)


def _without_system(turns: Sequence[_Turn]) -> list[_Turn]:
    """Each system message becomes the beginning of the user message after it."""
    folded: list[_Turn] = []
    waiting: list[tuple[_Part, ...]] = []
    for turn in turns:
        if turn.role == "system":
            waiting.append(turn.parts)
            continue
        if waiting and turn.role == "user":
            turn = _Turn("user", _joined([*waiting, turn.parts]), turn.fields)
            waiting = []
        elif waiting and not folded:
            folded.append(_Turn("user", _joined(waiting), {}))
            waiting = []
        folded.append(turn)
    if waiting:
        folded.append(_Turn("user", _joined(waiting), {}))
    return folded


def _alternating(turns: Sequence[_Turn]) -> list[_Turn]:
    """Neighbours of one role joined, and a user turn first, as strict templates demand."""
    merged: list[_Turn] = []
    for turn in turns:
        previous = merged[-1] if merged else None
        mergeable = previous is not None and not previous.fields and not turn.fields
        if previous is not None and previous.role == turn.role and mergeable:
            merged[-1] = _Turn(turn.role, _joined([previous.parts, turn.parts]), {})
        else:
            merged.append(turn)
    first = 1 if merged and merged[0].role == "system" else 0
    if len(merged) > first and merged[first].role == "assistant":
        merged.insert(first, _Turn("user", (_Part(""),), {}))
    return merged


def _stand_in(name: str) -> ToolCall:
    """A call whose rendering is replaced by what the model wrote."""
    return ToolCall(STAND_IN_ID, name, "{}")
