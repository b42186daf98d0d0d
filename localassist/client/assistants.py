"""Saved assistants: found by the names people gave them, and written down for people to change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import openai

from localassist.errors import ConfigError

if TYPE_CHECKING:  # a third of a second
    from openai.types.beta import Assistant as Assistant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CODE, SEARCH = "code_interpreter", "file_search"
_WORDS = {CODE: "code", SEARCH: "search"}
# On an assistant that was made for one conversation: its thread.
THREAD_KEY = "thread_id"


class NoSuchAssistant(LookupError):
    """No assistant, or more than one, is meant; the text says which there are."""


def saved_assistants(client: openai.OpenAI) -> Iterator[Assistant]:
    """All assistants, newest first, but those made for one conversation."""
    for assistant in client.beta.assistants.list(limit=100):
        if THREAD_KEY not in (assistant.metadata or {}):
            yield assistant


def find_assistant(client: openai.OpenAI, name: str) -> Assistant:
    """The assistant of this id, else the saved one of this name, upper or lower case. Raises
    NoSuchAssistant."""
    if name.startswith("asst_"):
        try:
            return client.beta.assistants.retrieve(name)
        except openai.NotFoundError:
            pass
    saved = list(saved_assistants(client))
    same = [one for one in saved if one.name == name]
    same = same or [one for one in saved if (one.name or "").lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    if same:
        ids = ", ".join(one.id for one in same)
        raise NoSuchAssistant(f"{len(same)} assistants are called '{name}'; name one by id: {ids}.")
    names = ", ".join(sorted({one.name for one in saved if one.name}))
    there = f"There are: {names}." if names else "localassist assistants create makes one."
    raise NoSuchAssistant(f"There is no assistant '{name}'. {there}")


def fields_for(*, runs_code: bool, searches: bool, store_id: str | None) -> dict[str, Any]:
    """The fields of an assistant that name its own tools; empty without any."""
    kinds = [CODE] * runs_code + [SEARCH] * (searches or store_id is not None)
    fields: dict[str, Any] = {"tools": [{"type": kind} for kind in kinds]} if kinds else {}
    if store_id is not None:
        fields["tool_resources"] = {SEARCH: {"vector_store_ids": [store_id]}}
    return fields


def changed_tools(
    assistant: Assistant, *, runs_code: bool | None, searches: bool | None
) -> list[dict[str, Any]]:
    """The assistant's tools with its own ones there or not; None leaves one as it is."""
    wanted = {CODE: runs_code, SEARCH: searches}
    tools = [one.to_dict() for one in assistant.tools if wanted.get(one.type) is not False]
    known = {tool["type"] for tool in tools}
    return tools + [{"type": kind} for kind, is_on in wanted.items() if is_on and kind not in known]


def to_toml(assistant: Assistant) -> str:
    """What people change of an assistant, as text that ``from_toml`` reads. Functions are part of
    programs and stay out of it."""
    told = assistant.to_dict()
    kinds = [tool.type for tool in assistant.tools if tool.type in _WORDS]
    lines = [
        f"# {assistant.id}",
        f"name = {_toml(assistant.name or '')}",
        f"description = {_toml(assistant.description or '')}",
        f"model = {_toml(assistant.model)}",
        f"tools = [{', '.join(_toml(_WORDS[kind]) for kind in kinds)}]  # code, search",
        f"temperature = {told.get('temperature', 1)}",
        f"top_p = {told.get('top_p', 1)}",
        f"instructions = {_toml_block(assistant.instructions or '')}",
    ]
    return "\n".join(lines) + "\n"


def from_toml(text: str, before: Assistant) -> dict[str, Any]:
    """The fields that the text changes. Raises ConfigError with what is wrong with it."""
    try:
        told = tomllib.loads(text)
        known = tomllib.loads(to_toml(before))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"This is not valid TOML: {error}.") from error
    unknown = sorted(set(told) - set(known))
    if unknown:
        raise ConfigError(f"There is no field '{unknown[0]}'; there are {', '.join(known)}.")
    for name, value in told.items():
        right = (int, float) if isinstance(known[name], int | float) else type(known[name])
        if not isinstance(value, right) or isinstance(value, bool):
            raise ConfigError(f"'{name}' has the wrong type: {value!r}.")
    fields = {name: value for name, value in told.items() if value != known[name]}
    if "tools" in fields:
        odd = [word for word in fields["tools"] if word not in _WORDS.values()]
        if odd:
            raise ConfigError(f"There is no tool '{odd[0]}'; there are code and search.")
        wanted = fields["tools"]
        fields["tools"] = changed_tools(
            before, runs_code="code" in wanted, searches="search" in wanted
        )
    return fields


def _toml(value: str) -> str:
    """A TOML string: JSON's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_block(value: str) -> str:
    """Several lines as they are, where they can be."""
    fits = "'''" not in value and not value.endswith("'") and "\r" not in value
    printable = all(c.isprintable() or c in "\n\t" for c in value)
    return f"'''\n{value}'''" if "\n" in value and fits and printable else _toml(value)
