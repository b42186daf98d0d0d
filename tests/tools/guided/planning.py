"""A guided caller over a scripted engine, and tools for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localassist.chat.formats import FORMATS, ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, ToolSpec
from localassist.engine.request import Generate
from localassist.engine.scripted import ScriptedEngine
from localassist.tools.guided import Embed, GuidedCaller, ToolPlan
from tests.tools.walks import walk

AUTO, REQUIRED = ToolChoice("auto"), ToolChoice("required")


def text(description: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def number(description: str = "", kind: str = "number", **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


def texts(description: str = "") -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def tool(
    name: str, description: str, properties: Mapping[str, Any], required: Sequence[str] = ()
) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec(name, description, parameters)


def likes(word: str) -> Callable[[str, str], float]:
    """A scorer: the question is likelier after a description that has this word."""
    return lambda prompt, question: -len(question) * (1.0 if word in prompt else 2.0)


def engine(*replies: Any, word: str = "weather") -> ScriptedEngine:
    return ScriptedEngine(*replies, scorer=likes(word))


def drawing(seed: int) -> ScriptedEngine:
    """An engine that says anything its grammar allows."""
    draws = random.Random(seed)

    def reply(request: Generate) -> str:
        assert request.constraint is not None
        return walk(request.constraint.grammar, draws) or ""

    return ScriptedEngine(default_reply=reply)


async def plan(
    engine: ScriptedEngine,
    conversation: Sequence[ChatMessage] | str,
    tools: Sequence[ToolSpec],
    choice: ToolChoice = AUTO,
    *,
    embed: Embed | None = None,
    parallel: bool = True,
) -> ToolPlan:
    if isinstance(conversation, str):
        conversation = [ChatMessage("user", conversation)]
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    builder = PromptBuilder(engine, template, FORMATS["plain"], engine.model_id)
    caller = GuidedCaller(engine, builder, embed)
    return await caller.plan(conversation, tools, choice, parallel)


async def arguments(
    question: str, wanted: ToolSpec, *replies: str, parallel: bool = True
) -> list[dict[str, Any]]:
    """The arguments of the calls of one tool. The engine has only these replies, and finds all
    values equally likely."""
    indifferent = ScriptedEngine(*replies, scorer=lambda prompt, said: 0.0)
    found = await plan(indifferent, question, [wanted], REQUIRED, parallel=parallel)
    assert all(call.name == wanted.name for call in found.calls)
    return [json.loads(call.arguments) for call in found.calls]
