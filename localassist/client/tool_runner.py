"""A run worked to its end with functions of this program: the loop that every caller would write.

Works with any official client, over HTTP or in process. Exceptions of a function, arguments that do
not fit and refused calls go back to the model as text; only the caller's own interruption ends the
loop early, and then the run is cancelled so that its thread is free again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import openai
from openai.types.beta.threads import Run as Run

from localassist.client.functions import ArgumentsError, Tool, as_tool, sendable

REFUSED = "The user refused this call, so there is no result."


class TooManyRounds(RuntimeError):
    """The model went on asking for calls; the run was cancelled."""


@dataclass(slots=True)
class FunctionCall:
    """A call the model asks for. ``arguments`` is its JSON text; ``refuse`` keeps it from being
    made."""

    id: str
    name: str
    arguments: str
    refusal: str | None = None

    def refuse(self, reason: str = REFUSED) -> None:
        """Do not make the call; the model is told ``reason``."""
        self.refusal = reason


@dataclass(frozen=True, slots=True)
class CallResult:
    """What the model is told of a call. ``error`` is why it could not be made or failed."""

    call: FunctionCall
    output: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class CodePiece:
    """More of the code that the code interpreter is given, or of what that code prints."""

    part: Literal["input", "logs"]
    text: str


# Text is a fragment of the answer; the run is always last.
RunItem: TypeAlias = str | CodePiece | FunctionCall | CallResult | Run
OnCall: TypeAlias = Callable[[FunctionCall], bool | None]
AnyTool: TypeAlias = Tool[..., Any] | Callable[..., Any]


def stream_tools(
    client: openai.OpenAI,
    *,
    thread_id: str,
    assistant_id: str,
    tools: Iterable[AnyTool],
    max_rounds: int | None = None,
    **run_options: Any,
) -> Generator[RunItem, None, None]:
    """Start a run and yield what happens, making the calls of ``tools`` when it asks for them.

    Yields fragments of text and of code that is run on the way, each FunctionCall before it is made
    (``refuse`` it meanwhile), its CallResult after, and at last the Run as it ended. ``tools`` join
    those of the assistant.
    ``max_rounds`` None leaves the limit to the server. Raises ToolDefinitionError, TooManyRounds,
    and the client's errors. Closing the generator cancels the run.
    """
    loop = _Loop(tools, max_rounds)
    runs = client.beta.threads.runs
    assistant = client.beta.assistants.retrieve(assistant_id)
    options = {**run_options, **loop.tools_option(assistant.tools)}
    run: Run | None = None
    try:
        events = runs.create(thread_id=thread_id, assistant_id=assistant_id, stream=True, **options)
        while True:
            with events:
                for event in events:
                    run = _run_of(event, run)
                    yield from _pieces(event)
            assert run is not None
            if run.status not in (*_AT_REST, "requires_action"):  # the stream broke off
                run = runs.poll(run.id, thread_id=thread_id)
            if run.status != "requires_action":
                break
            results: list[CallResult] = []
            for call in loop.calls(run):
                yield call
                results.append(loop.make(call))
                yield results[-1]
            try:
                events = runs.submit_tool_outputs(
                    run.id, thread_id=thread_id, tool_outputs=_outputs(results), stream=True
                )
            except openai.BadRequestError:
                if (run := runs.retrieve(run.id, thread_id=thread_id)).status not in _AT_REST:
                    raise
                break  # it expired or was cancelled while the calls were made
    except BaseException:
        if run is not None:
            with suppress(openai.OpenAIError):
                runs.cancel(run.id, thread_id=thread_id)
        raise
    yield run


def run_tools(
    client: openai.OpenAI,
    *,
    thread_id: str,
    assistant_id: str,
    tools: Iterable[AnyTool],
    on_call: OnCall | None = None,
    on_text: Callable[[str], object] | None = None,
    max_rounds: int | None = None,
    **run_options: Any,
) -> Run:
    """Work a run to its end with ``tools`` and return it: completed, or how else it ended.

    ``on_call`` sees each call before it is made and refuses it by returning False. ``on_text`` gets
    the answer as it is generated. The rest is as for ``stream_tools``.
    """
    items = stream_tools(
        client,
        thread_id=thread_id,
        assistant_id=assistant_id,
        tools=tools,
        max_rounds=max_rounds,
        **run_options,
    )
    with closing(items):
        for item in items:
            if isinstance(item, Run):
                return item
            _notify(item, on_call, on_text)
    raise AssertionError("a run has an end")


async def stream_tools_async(
    client: openai.AsyncOpenAI,
    *,
    thread_id: str,
    assistant_id: str,
    tools: Iterable[AnyTool],
    max_rounds: int | None = None,
    **run_options: Any,
) -> AsyncGenerator[RunItem, None]:
    """``stream_tools`` for asynchronous clients. Synchronous functions run on threads, and the
    calls of one round side by side."""
    loop = _Loop(tools, max_rounds)
    runs = client.beta.threads.runs
    assistant = await client.beta.assistants.retrieve(assistant_id)
    options = {**run_options, **loop.tools_option(assistant.tools)}
    run: Run | None = None
    try:
        events = await runs.create(
            thread_id=thread_id, assistant_id=assistant_id, stream=True, **options
        )
        while True:
            async with events:
                async for event in events:
                    run = _run_of(event, run)
                    for piece in _pieces(event):
                        yield piece
            assert run is not None
            if run.status not in (*_AT_REST, "requires_action"):
                run = await runs.poll(run.id, thread_id=thread_id)
            if run.status != "requires_action":
                break
            calls = loop.calls(run)
            for call in calls:
                yield call
            results = await asyncio.gather(*(loop.make_async(call) for call in calls))
            for result in results:
                yield result
            try:
                events = await runs.submit_tool_outputs(
                    run.id, thread_id=thread_id, tool_outputs=_outputs(results), stream=True
                )
            except openai.BadRequestError:
                run = await runs.retrieve(run.id, thread_id=thread_id)
                if run.status not in _AT_REST:
                    raise
                break
    except BaseException:
        if run is not None:
            with suppress(openai.OpenAIError):
                await asyncio.shield(runs.cancel(run.id, thread_id=thread_id))
        raise
    yield run


async def run_tools_async(
    client: openai.AsyncOpenAI,
    *,
    thread_id: str,
    assistant_id: str,
    tools: Iterable[AnyTool],
    on_call: OnCall | None = None,
    on_text: Callable[[str], object] | None = None,
    max_rounds: int | None = None,
    **run_options: Any,
) -> Run:
    """``run_tools`` for asynchronous clients."""
    items = stream_tools_async(
        client,
        thread_id=thread_id,
        assistant_id=assistant_id,
        tools=tools,
        max_rounds=max_rounds,
        **run_options,
    )
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Run):
                return item
            _notify(item, on_call, on_text)
    raise AssertionError("a run has an end")


_AT_REST = ("completed", "incomplete", "failed", "cancelled", "expired")


class _Loop:
    """What both loops share: the tools by name, and the count of rounds."""

    def __init__(self, tools: Iterable[AnyTool], max_rounds: int | None) -> None:
        made = [as_tool(function) for function in tools]
        self._tools = {one.name: one for one in made}
        if len(self._tools) < len(made):
            raise ValueError(f"Two tools have one name: {', '.join(one.name for one in made)}.")
        self._left = max_rounds

    def tools_option(self, known: Sequence[Any]) -> dict[str, Any]:
        """The run's ``tools``, which would replace those of its assistant: both, and nothing when
        the assistant has all of ours."""
        theirs = [tool.to_dict() for tool in known]
        ours = [tool.definition for tool in self._tools.values()]
        if all(tool in theirs for tool in ours):
            return {}
        kept = [tool for tool in theirs if tool.get("function", {}).get("name") not in self._tools]
        return {"tools": [*kept, *ours]}

    def calls(self, run: Run) -> list[FunctionCall]:
        """The calls the run waits for. Raises TooManyRounds."""
        assert run.required_action is not None
        wanted = run.required_action.submit_tool_outputs.tool_calls
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                names = ", ".join(call.function.name for call in wanted)
                raise TooManyRounds(f"The model asked for calls once too often: {names}.")
        return [FunctionCall(c.id, c.function.name, c.function.arguments) for c in wanted]

    def make(self, call: FunctionCall) -> CallResult:
        try:
            return self._refused(call) or CallResult(
                call, self._tools[call.name].call(call.arguments)
            )
        except Exception as error:
            return _failed(call, error)

    async def make_async(self, call: FunctionCall) -> CallResult:
        try:
            return self._refused(call) or CallResult(
                call, await self._tools[call.name].call_async(call.arguments)
            )
        except Exception as error:
            return _failed(call, error)

    def _refused(self, call: FunctionCall) -> CallResult | None:
        if call.refusal is not None:
            return CallResult(call, call.refusal)
        if call.name not in self._tools:
            raise ArgumentsError(f"There is no function {call.name} here.")
        return None


def _failed(call: FunctionCall, error: Exception) -> CallResult:
    kind = "" if isinstance(error, ArgumentsError) else f"{type(error).__name__}: "
    return CallResult(call, sendable(f"Error: {kind}{error}"), error)


def _outputs(results: Sequence[CallResult]) -> Any:
    return [{"tool_call_id": one.call.id, "output": one.output} for one in results]


def _run_of(event: Any, before: Run | None) -> Run | None:
    return event.data if isinstance(event.data, Run) else before


def _pieces(event: Any) -> list[str | CodePiece]:
    if event.event == "thread.run.step.delta":
        return _code_pieces(event.data.delta.step_details)
    if event.event != "thread.message.delta":
        return []
    parts = event.data.delta.content or []
    return [part.text.value for part in parts if part.type == "text" and part.text.value]


def _code_pieces(details: Any) -> list[str | CodePiece]:
    pieces: list[str | CodePiece] = []
    calls = (details.tool_calls or []) if details.type == "tool_calls" else []
    for code in (call.code_interpreter for call in calls if call.type == "code_interpreter"):
        if code.input:
            pieces.append(CodePiece("input", code.input))
        logs = [output.logs for output in code.outputs or [] if output.type == "logs"]
        pieces += [CodePiece("logs", text) for text in logs if text]
    return pieces


def _notify(item: RunItem, on_call: OnCall | None, on_text: Callable[[str], object] | None) -> None:
    if isinstance(item, str) and on_text is not None:
        on_text(item)
    elif isinstance(item, FunctionCall) and on_call is not None and on_call(item) is False:
        item.refuse()
