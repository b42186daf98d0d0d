"""Code for models too small to write it: whether it is wanted, the cell, and what to say of it.

Evidence before generation: code of the user's own is run as it is, and what people ask most is
written in worked forms with the files' real names. Only where none fits does the model write, under
a grammar of whole cells. Runs nothing; knows no runs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from localassist import clock
from localassist.chat.prompt import PromptBuilder
from localassist.core import ChatMessage, SamplingParams, ToolSpec, Usage
from localassist.engine.request import Engine, Finished, Generate
from localassist.tools.code_interpreter import cells, telling
from localassist.tools.code_interpreter.asking import spoken_decision
from localassist.tools.code_interpreter.base import CodeFile, Execution
from localassist.tools.code_interpreter.examples import cell_messages
from localassist.tools.code_interpreter.own_code import own_code
from localassist.tools.code_interpreter.plan import Decision, Written
from localassist.tools.code_interpreter.repair import mended
from localassist.tools.code_interpreter.wording import FUNCTION_ONLY
from localassist.tools.code_interpreter.worked import Asked, Form, Worked, worked_cell
from localassist.tools.evidence import Question
from localassist.tools.guided.caller import GuidedCaller
from localassist.tools.guided.choosing import Chooser, Embed, GuidedThresholds
from localassist.tools.guided.work import Work

_MOST_TOKENS = 320  # of a cell
_MOST_ATTEMPTS = 3  # at a cell that is new and not empty
_TEMPERATURE = 0.7  # of attempts after the first
_SHORT_QUESTION_WORDS = 8  # of one that may go on from the one before
_MOST_CHARACTERS = 2000  # of a question that forms look at
_MOST_NAMES = 64  # of columns that are compared with a question
_AGAIN = re.compile(r"\b(?:again|same|repeat|once more|nochmals?|wieder)\b", re.IGNORECASE)
_TOOL = ToolSpec(
    "run_python",
    "Run Python code to calculate with numbers, to analyze data of files, or to draw a plot.",
)


class Coder:
    """Writes cells for one model; ``worked`` those that need none."""

    def __init__(
        self,
        engine: Engine,
        builder: PromptBuilder,
        embed: Embed | None = None,
        thresholds: GuidedThresholds | None = None,
        worked: Form = worked_cell,
    ) -> None:
        self._worked = worked
        self._engine = engine
        self._builder = builder
        self._embed = embed
        found = thresholds if thresholds is not None else GuidedThresholds()
        follows = replace(found, short_question_words=_SHORT_QUESTION_WORDS)
        self._caller = GuidedCaller(engine, builder, embed, follows)
        self._chooser = Chooser(embed, found)

    async def decide(
        self,
        conversation: Sequence[ChatMessage],
        files: Sequence[CodeFile] = (),
        demanded: bool = False,
    ) -> Decision:
        """Whether the newest message wants code to be run. ``demanded``: it does."""
        if demanded:
            return Decision(True, "code is demanded")
        newest = _newest(conversation)
        if not newest:
            return Decision(False, "nothing is asked")
        if await asyncio.to_thread(own_code, newest) is not None:
            return Decision(True, "the message has code")
        asked = await self._asked(conversation, files)
        spoken = await asyncio.to_thread(spoken_decision, newest, asked, self._worked)
        if spoken is not None:
            return spoken
        work = Work(self._engine)
        (score,) = await self._chooser.scores(work, Question(newest, asked.today), [_TOOL])
        evidence = f"likelihood and similarity, {score.decision:+.2f}"
        return Decision(score.decision > 0, evidence, work.usage)

    async def write(
        self,
        conversation: Sequence[ChatMessage],
        files: Sequence[CodeFile] = (),
        executions: Sequence[Execution] = (),
        most_tokens: int | None = None,
    ) -> AsyncGenerator[str | Written, None]:
        """The next cell of the run, as pieces that make its code, then what it is. ``executions``
        are the cells that the run has executed for the same message; their code is not written
        again. ``most_tokens`` the model may use for it. Raises what the engine raises."""
        found = await self._ready(conversation, files, executions)
        if found is not None:
            for line in found.code.splitlines(keepends=True):
                yield line
            yield Written(found.code, Usage(), found.evidence)
            return
        if not executions or executions[-1].failed:
            async for item in self._free(conversation, files, executions, most_tokens):
                yield item
        else:
            yield Written("", Usage(), "the code has run to its end")

    def answer(
        self, conversation: Sequence[ChatMessage], executions: Sequence[Execution]
    ) -> Sequence[str] | None:
        """What to say of what was run, in parts that make the answer when joined; None when nothing
        was run and the model is to answer freely."""
        return telling.answer(_newest(conversation), executions)

    async def _ready(
        self,
        conversation: Sequence[ChatMessage],
        files: Sequence[CodeFile],
        executions: Sequence[Execution],
    ) -> Worked | None:
        """A cell that needs no model; an empty one where there is nothing left to try."""
        own = await asyncio.to_thread(own_code, _newest(conversation))
        if own is not None:
            done = Worked("", "the user's code has been run")
            return done if executions else Worked(own, "the user's code")
        if not executions:
            asked = replace(await self._asked(conversation, files), is_decided=True)
            return await asyncio.to_thread(self._worked, asked)
        last = executions[-1]
        if last.ending != "error":
            return None
        found = await asyncio.to_thread(mended, last, files)
        if found is None or _is_known(found[0], executions):
            return None
        return Worked(found[0], f"mended: {found[1]}")

    async def _free(
        self,
        conversation: Sequence[ChatMessage],
        files: Sequence[CodeFile],
        executions: Sequence[Execution],
        most_tokens: int | None,
    ) -> AsyncIterator[str | Written]:
        """A cell that the model writes. The first attempt of a run is shown while it is written;
        of later ones it is known only at their end that they are new."""
        question = await asyncio.to_thread(self._caller.question, conversation)
        messages = cell_messages(question, files, executions)
        prompt = (await asyncio.to_thread(self._builder.build, messages)).token_ids
        names = [file.name for file in files]
        constraint = cells.cell_grammar(
            names, is_function=FUNCTION_ONLY.search(question) is not None
        )
        usage = Usage()
        for attempt in range(len(executions), len(executions) + _MOST_ATTEMPTS):
            left = _MOST_TOKENS
            if most_tokens is not None:
                left = min(left, most_tokens - usage.completion_tokens)
            if left <= 0:
                break
            sampling = SamplingParams(
                temperature=_TEMPERATURE if attempt else 0.0,
                top_p=0.95,
                repeat_penalty=1.05,
                seed=attempt,
                max_tokens=left,
            )
            text, shown = "", 0
            request = Generate(prompt, sampling, constraint)
            async for item in self._engine.generate(request):
                if isinstance(item, Finished):
                    usage += item.usage
                    continue
                text += item.text
                ready = cells.tidy(text[: cells.whole_length(text)]) if not executions else ""
                if len(ready) > shown:
                    yield ready[shown:]
                    shown = len(ready)
            code = cells.tidy(cells.closed(text))
            if code.strip() and (shown or not _is_known(code, executions)):
                yield code[shown:]
                yield Written(code, usage, f"written by the model, attempt {attempt + 1}")
                return
        yield Written("", usage, "the model has written nothing new")

    async def _asked(self, conversation: Sequence[ChatMessage], files: Sequence[CodeFile]) -> Asked:
        question = await asyncio.to_thread(self._caller.question, conversation)
        today = date.fromtimestamp(clock.now())
        newest = _both_ends(_newest(conversation))
        asked = Asked(_both_ends(question), tuple(files), today, newest=newest)
        if await asyncio.to_thread(self._is_another, asked):
            asked = replace(asked, text=newest)
        return replace(asked, similarities=await self._similarities(asked))

    def _is_another(self, asked: Asked) -> bool:
        """Whether the newest message only looks as if it went on from the one before: all that
        would be computed with both is what has been computed without it."""
        before = asked.text.removesuffix(asked.newest)
        if before in (asked.text, "") or _AGAIN.search(asked.newest):
            return False
        both = self._worked(asked)
        alone = self._worked(replace(asked, text=before, newest=""))
        return both is not None and alone is not None and both.code == alone.code

    async def _similarities(self, asked: Asked) -> Mapping[str, float]:
        tables = await asyncio.to_thread(lambda: asked.tables)
        names = dict.fromkeys(column.name for table in tables for column in table.columns)
        compared = list(names)[:_MOST_NAMES]
        if self._embed is None or not compared:
            return {}
        question, *columns = await self._embed([asked.text, *compared])
        return {
            name: sum(a * b for a, b in zip(question, vector, strict=True))
            for name, vector in zip(compared, columns, strict=True)
        }


def _newest(conversation: Sequence[ChatMessage]) -> str:
    """What the user said last."""
    said = [message.content.strip() for message in conversation if message.role == "user"]
    return said[-1] if said else ""


def _both_ends(text: str) -> str:
    """Whoever pastes a long text asks before it or after it."""
    half = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:half]}\n{text[-half:]}"


def _is_known(code: str, executions: Sequence[Execution]) -> bool:
    return any(code.strip() == execution.code.strip() for execution in executions)
