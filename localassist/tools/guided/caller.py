"""Decides by likelihood whether and what to call, has the arguments filled in slot by slot.

Whatever the model does, they fit the tool's schema. Knows no runs.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from datetime import date

from localassist import clock
from localassist.chat.formats.base import ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.core import ChatMessage, ToolSpec
from localassist.engine.request import Engine
from localassist.tools.evidence import Question
from localassist.tools.evidence.phrases import clauses
from localassist.tools.evidence.words import words
from localassist.tools.guided.choosing import Chooser, Embed, GuidedThresholds
from localassist.tools.guided.draft import Draft
from localassist.tools.guided.filling import Filler
from localassist.tools.guided.plan import PlannedCall, ToolPlan, ToolScore
from localassist.tools.guided.repeating import repeated
from localassist.tools.guided.work import Work

# Below it, the values may stand in what was said before.
_POORLY_GROUNDED = 0.7
_MOST_CLAUSES = 4
_EARLIER_MESSAGES, _EARLIER_CHARACTERS = 4, 1000
# How a question begins that leans on the one before: "And in Rome?", "What about tomorrow?"
_GOES_ON = frozenset("and also or but then now what how same again in at for on to with".split())


class GuidedCaller:
    """Plans calls for one model."""

    def __init__(
        self,
        engine: Engine,
        builder: PromptBuilder,
        embed: Embed | None = None,
        thresholds: GuidedThresholds | None = None,
    ) -> None:
        self._engine = engine
        self._builder = builder
        self._thresholds = thresholds if thresholds is not None else GuidedThresholds()
        self._chooser = Chooser(embed, self._thresholds)

    async def plan(
        self,
        conversation: Sequence[ChatMessage],
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        parallel: bool = True,
    ) -> ToolPlan:
        """The calls this turn makes, if any; one unless ``parallel``.

        A conversation that ends in a tool's output is not answered with another call unless
        ``choice`` demands one.
        Raises InvalidRequest for a named tool that is not there, and what the engine raises.
        """
        candidates = choice.among(tools)
        question = await asyncio.to_thread(self.question, conversation)
        ended_by_tool = bool(conversation) and conversation[-1].role == "tool"
        if not candidates or (not choice.demands_call and (ended_by_tool or not question)):
            return ToolPlan()
        work = Work(self._engine)
        newest = (_said(conversation) or [""])[-1]
        newest_from = len(question) - len(newest) if question.endswith(newest) else 0
        asked = await _read(question, date.fromtimestamp(clock.now()), newest_from)
        if choice.demands_call and len(candidates) == 1:
            draft, asked = await self._fill(work, candidates[0], asked, conversation)
            calls = await asyncio.to_thread(_calls, draft, asked, parallel)
            return ToolPlan(calls, (), work.usage, draft.grounding)
        scores = await self._chooser.scores(work, asked, candidates)
        likeliest = sorted(scores, key=lambda score: score.decision, reverse=True)
        offered = [_named(candidates, score.name) for score in likeliest[:_MOST_CLAUSES]]
        several = await self._by_clauses(work, asked, offered) if parallel else []
        if len(several) > 1:
            made = [await asyncio.to_thread(_calls, *found, parallel) for found in several]
            calls = tuple(itertools.chain.from_iterable(made))
            return ToolPlan(calls, tuple(scores), work.usage, _mean_grounding(several))
        likely = [score for score in scores if score.decision > 0]
        if not likely and not choice.demands_call:
            return ToolPlan((), tuple(scores), work.usage)
        best = max(likely or scores, key=lambda score: score.likelihood)
        draft, asked = await self._fill(work, _named(candidates, best.name), asked, conversation)
        grounded = self._chooser.grounded(best, draft.grounding)
        told = tuple(grounded if score is best else score for score in scores)
        if grounded.decision <= 0 and not choice.demands_call:
            return ToolPlan((), told, work.usage, draft.grounding)
        calls = await asyncio.to_thread(_calls, draft, asked, parallel)
        return ToolPlan(calls, told, work.usage, draft.grounding)

    async def _by_clauses(
        self, work: Work, asked: Question, tools: Sequence[ToolSpec]
    ) -> list[tuple[Draft, Question]]:
        """Calls of different tools, where the parts of a question mean different ones."""
        # What was said before has had its answer.
        parts = clauses(asked.text[asked.newest_from :]) if len(tools) > 1 else []
        if not 1 < len(parts) <= _MOST_CLAUSES:
            return []
        meant: dict[str, tuple[ToolScore, list[str]]] = {}
        for part in parts:
            scores = await self._chooser.scores(work, Question(part, asked.today), tools)
            likely = [score for score in scores if score.decision > 0]
            if likely:
                best = max(likely, key=lambda score: score.likelihood)
                meant.setdefault(best.name, (best, []))[1].append(part)
        found = []
        for name, (score, texts) in meant.items() if len(meant) > 1 else ():
            part_asked = await _read(" ".join(texts), asked.today)
            draft = await Filler(work, self._builder).fill(_named(tools, name), part_asked)
            if draft.grounding < _POORLY_GROUNDED:
                whole = await Filler(work, self._builder).fill(_named(tools, name), asked)
                if whole.grounding > draft.grounding:
                    draft, part_asked = whole, asked
            if self._chooser.grounded(score, draft.grounding).decision > 0:
                found.append((draft, part_asked))
        return found

    async def _fill(
        self, work: Work, tool: ToolSpec, asked: Question, conversation: Sequence[ChatMessage]
    ) -> tuple[Draft, Question]:
        """The call filled from the question, or from what the user said before as well if that
        holds more of it."""
        draft = await Filler(work, self._builder).fill(tool, asked)
        said = _said(conversation)
        earlier = " ".join(said[-_EARLIER_MESSAGES:-1])[-_EARLIER_CHARACTERS:]
        if draft.grounding >= _POORLY_GROUNDED or not earlier or earlier in asked.text:
            return draft, asked
        longer = await _read(f"{earlier} {asked.text}", asked.today, len(earlier) + 1)
        refilled = await Filler(work, self._builder).fill(tool, longer)
        return (refilled, longer) if refilled.grounding > draft.grounding else (draft, asked)

    def question(self, conversation: Sequence[ChatMessage]) -> str:
        """What is being asked: the last user message, after the one before it if it is short and
        goes on from it."""
        asked = _said(conversation)
        if not asked:
            return ""
        question = asked[-1]
        said = words(question)
        is_short = len(said) < self._thresholds.short_question_words
        if len(asked) > 1 and is_short and said and said[0] in _GOES_ON:
            question = f"{asked[-2]} {question}"
        # Half of the context leaves room for the worked examples; one character may be many tokens.
        limit = max(256, self._engine.context_length // 2)
        tokens = self._engine.tokenize(question[-limit:], parse_special=False)
        if len(tokens) <= limit:
            return question[-limit:]
        return self._engine.detokenize(tokens[-limit:]).lstrip("\ufffd")


async def _read(text: str, today: date, newest_from: int = 0) -> Question:
    """The question, read before it is needed: a long one takes a while, not on the event loop."""
    question = Question(text, today, newest_from)
    await asyncio.to_thread(question.read)
    return question


def _said(conversation: Sequence[ChatMessage]) -> list[str]:
    """What the user said."""
    return [message.content.strip() for message in conversation if message.role == "user"]


def _named(tools: Sequence[ToolSpec], name: str) -> ToolSpec:
    return next(tool for tool in tools if tool.name == name)


def _mean_grounding(found: Sequence[tuple[Draft, Question]]) -> float:
    return sum(draft.grounding for draft, _ in found) / len(found)


def _calls(draft: Draft, question: Question, parallel: bool) -> tuple[PlannedCall, ...]:
    """The draft, which fits its schema, and what the question asks for besides as far as that
    does."""
    others = repeated(draft, question) if parallel else []
    fitting = [other for other in others if other.problem() is None]
    return tuple(_planned(each) for each in fitting or [draft])


def _planned(draft: Draft) -> PlannedCall:
    arguments = json.dumps(draft.values, ensure_ascii=False)
    evidence = {name: draft.filled[name].evidence for name in draft.values}
    return PlannedCall(draft.tool.name, arguments, evidence)
