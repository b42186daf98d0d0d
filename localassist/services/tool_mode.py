"""How a model of tool mode ``auto`` calls functions: asked once, remembered, and never in the way.

A model whose template cannot show tools and calls is led through them. Any other is given a few
short questions with tools of our own, in its own form and under the grammar that every call obeys:
``native`` if it calls the right tool where one is wanted and stays quiet where none is, ``guided``
otherwise. A probe that fails is a warning and means ``guided`` until the next start.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, SamplingParams, ToolCall, ToolSpec
from localassist.engine.request import Engine
from localassist.errors import ShuttingDown
from localassist.registry.config import ToolMode
from localassist.registry.manifest import ModelManifest
from localassist.registry.tool_modes import Finding, ToolModeMemory
from localassist.services.models import ChatModel
from localassist.services.turn import take_turn
from localassist.services.turn_items import TurnEnded, TurnRequest
from localassist.tools.grammar import Validate

_log = logging.getLogger(__name__)

CALL_TOKENS = 48
ANSWER_TOKENS = 24  # a call that nobody wanted has begun by then
_ENOUGH = 0.75  # of either kind of question


def _tool(name: str, description: str, **parameters: Any) -> ToolSpec:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return ToolSpec(name, description, schema)


PROBE_TOOLS = (
    _tool(
        "get_weather",
        "Get the current weather of a city.",
        city={"type": "string", "description": "Name of the city"},
    ),
    _tool(
        "start_timer",
        "Start a timer that rings when the time is over.",
        minutes={"type": "integer", "description": "How many minutes it runs"},
    ),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the call it wants: a tool and the value of its one argument. No tool means
    that it wants words."""

    text: str
    tool: str | None = None
    value: str | int | None = None


QUESTIONS = (
    Question("What is the weather in Lisbon right now?", "get_weather", "Lisbon"),
    Question("Is it raining in Oslo at the moment?", "get_weather", "Oslo"),
    Question("Please start a timer for 12 minutes.", "start_timer", 12),
    Question("Let me know when 45 minutes are over.", "start_timer", 45),
    Question("Write one sentence about friendship."),
    Question("What is the plural of the word mouse?"),
    Question("Translate 'good morning' into French."),
    Question("Who wrote Romeo and Juliet?"),
)


def possible_modes(engine: Engine, template: ChatTemplate) -> tuple[ToolMode, ...]:
    """The modes that engine and template allow, the one that asks most of the model first."""
    from localassist.engine.remote import ServerEngine

    facts = engine.facts if isinstance(engine, ServerEngine) else None
    if facts is not None and not facts.grammar:
        return ("none",)
    modes: list[ToolMode] = ["none"]
    if facts is None or facts.score:
        modes.insert(0, "guided")
    if template.supports_tools and template.supports_tool_calls:
        modes.insert(0, "native")
    return tuple(modes)


class ProbedToolModes:
    """The tool modes of a data folder's models, for ``Models``. One probe per model at a time."""

    def __init__(self, home: Path, validate: Validate) -> None:
        self._memory = ToolModeMemory(home)
        self._validate = validate
        self._failed: set[str] = set()
        self._probing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def known(
        self, manifest: ModelManifest, engine: Engine, template: ChatTemplate
    ) -> ToolMode:
        """The remembered mode, or the first that is possible: good enough for a turn without tools,
        where it only says how earlier calls are shown."""
        possible = possible_modes(engine, template)
        if possible[0] != "native" or "guided" not in possible:
            return possible[0]
        if manifest.id in self._failed:
            return "guided"
        found = await asyncio.to_thread(self._memory.recall, manifest, engine.chat_template)
        return possible[0] if found is None else found.mode

    async def settle(self, native: ChatModel, template: ChatTemplate) -> ToolMode:
        """The mode, remembered or found out now."""
        manifest, engine = native.manifest, native.engine
        possible = possible_modes(engine, template)
        if possible[0] != "native" or "guided" not in possible:
            return possible[0]
        # A lock and not a shared task: who probes holds the model's lease meanwhile, and when they
        # go away the next in line takes over.
        async with self._probing[manifest.id]:
            if manifest.id in self._failed:
                return "guided"
            found = await asyncio.to_thread(self._memory.recall, manifest, engine.chat_template)
            if found is None:
                found = await self._probe(native)
            return "guided" if found is None else found.mode

    async def _probe(self, native: ChatModel) -> Finding | None:
        """What the model does, which is remembered; None when it could not be asked."""
        manifest, engine = native.manifest, native.engine
        try:
            found = await probe(native, self._validate)
        except Exception as error:
            _log.warning("cannot find out how %s calls functions: %s", manifest.id, error)
            if not isinstance(error, ShuttingDown):
                self._failed.add(manifest.id)
            return None
        _log.info("%s: tool mode %s (%s)", manifest.id, found.mode, found.reason)
        await asyncio.to_thread(self._memory.remember, manifest, engine.chat_template, found)
        return found


async def probe(native: ChatModel, validate: Validate) -> Finding:
    """Ask a model that writes calls itself. Raises what turns raise.

    Questions of a kind are asked at once; those that want words only of a model that can call.
    """
    calling = [question for question in QUESTIONS if question.tool is not None]
    right_calls = await _share_of_right(native, calling, validate)
    if right_calls < _ENOUGH:
        return Finding("guided", right_calls)
    others = [question for question in QUESTIONS if question.tool is None]
    left_alone = await _share_of_right(native, others, validate)
    return Finding("native" if left_alone >= _ENOUGH else "guided", right_calls, left_alone)


async def _share_of_right(
    model: ChatModel, questions: Sequence[Question], validate: Validate
) -> float:
    asking = [asyncio.create_task(_calls(model, one, validate)) for one in questions]
    try:
        answers = await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return sum(map(_is_right, questions, answers)) / len(questions)


async def _calls(model: ChatModel, question: Question, validate: Validate) -> Sequence[ToolCall]:
    max_tokens = ANSWER_TOKENS if question.tool is None else CALL_TOKENS
    request = TurnRequest(
        messages=[ChatMessage("user", question.text)],
        sampling=SamplingParams(temperature=0, max_tokens=max_tokens),
        tools=PROBE_TOOLS,
        parallel=False,
    )
    async with aclosing(take_turn(model, request, validate)) as items:
        return [call async for item in items if isinstance(item, TurnEnded) for call in item.calls]


def _is_right(question: Question, calls: Sequence[ToolCall]) -> bool:
    if question.tool is None or len(calls) != 1:
        return question.tool is None and not calls
    try:
        values = list(json.loads(calls[0].arguments).values())
    except ValueError:  # cut off in the middle
        return False
    said = str(question.value).casefold()
    return calls[0].name == question.tool and any(said in str(v).casefold() for v in values)
