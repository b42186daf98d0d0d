"""Very many runs for one model: in order, fair, within limits, and nothing is lost.

Fair means: runs begin in the order in which they were created, whichever thread they are on. So a
thread that asks again as soon as it has its answer is behind all that waited meanwhile.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.errors import InvalidRequest, RateLimited
from localassist.runtime import Runtime
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.base import ListQuery
from localassist.schemas.messages import MessageCreate
from localassist.schemas.runs import Run, RunCreate
from localassist.schemas.threads import ThreadCreate
from localassist.server.app import create_app
from tests.runs.conftest import OpenRuntime, P, Talk, begin

QUIET = {"poll_seconds": 0.5, "flush_seconds": 0.005}


class Gate:
    """An engine that answers with the question, and nothing before it is opened."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine(model_id="scripted", default_reply=self._echo)
        self.asked: list[str] = []
        self._open = asyncio.Event()
        self._generate = self.engine.generate
        self.engine.generate = self._generated  # type: ignore[method-assign]

    def open(self) -> None:
        self._open.set()

    async def _generated(self, *args: Any, **options: Any) -> Any:
        await self._open.wait()
        async for piece in self._generate(*args, **options):
            yield piece

    def _echo(self, request: Generate) -> str:
        said = re.findall(r"question ([\d/]+)", self.engine.detokenize(request.prompt))
        self.asked.append(said[-1])
        return f"answer {said[-1]}"


async def make_assistant(runtime: Runtime) -> str:
    body = AssistantCreate.model_validate({"model": "scripted"})
    return (await runtime.assistants.create(P, body)).id


async def make_thread(runtime: Runtime) -> str:
    return (await runtime.threads.create(P, ThreadCreate())).id


async def ask(runtime: Runtime, assistant_id: str, thread_id: str, question: str) -> Run:
    message = {"role": "user", "content": f"question {question}"}
    body = {"assistant_id": assistant_id, "additional_messages": [message]}
    return await runtime.runs.create(P, thread_id, RunCreate.model_validate(body))


async def texts(runtime: Runtime, thread_id: str) -> list[str]:
    query = ListQuery(limit=100, order="asc")
    page = await runtime.messages.list(P, thread_id, query)
    return [message.content[0].text.value for message in page.data]  # type: ignore[union-attr]


async def end_of(runtime: Runtime, run: Run) -> str:
    async for event in runtime.runs.events(P, run.thread_id, run.id):
        last = event
    return last.name


async def check_queue(open_scripted: OpenRuntime, limit: int) -> None:
    """As many runs wait as may, one more is refused, all others begin in order and end."""
    gate = Gate()
    settings = {**QUIET, "max_queued": limit}
    async with open_scripted(gate.engine, runs=settings) as runtime:
        assistant_id = await make_assistant(runtime)
        workers = runtime.settings.runs.concurrency
        begun = []
        for number in range(workers + limit):
            thread_id = await make_thread(runtime)
            begun.append(await ask(runtime, assistant_id, thread_id, str(number)))
        with pytest.raises(RateLimited, match=f"{limit} are waiting") as refused:
            await ask(runtime, assistant_id, await make_thread(runtime), "too many")
        assert refused.value.retry_after_seconds is not None
        gate.open()
        ends = Counter(await asyncio.gather(*(end_of(runtime, run) for run in begun)))
        assert ends == {"thread.run.completed": len(begun)}
        for number, run in enumerate(begun):
            asked = [f"question {number}", f"answer {number}"]
            assert await texts(runtime, run.thread_id) == asked
        places = {question: place for place, question in enumerate(gate.asked)}
        # Those that were claimed together reach the model in any order.
        assert all(abs(places[str(n)] - n) < 2 * workers for n in range(len(begun)))


async def check_fairness(open_scripted: OpenRuntime, clients: int, runs: int) -> None:
    """Clients that ask again at once: between two runs of one, all others have their turn."""
    gate = Gate()
    gate.open()
    async with open_scripted(gate.engine, runs=QUIET) as runtime:
        assistant_id = await make_assistant(runtime)
        created: list[str] = []

        async def talk(client: int) -> str:
            thread_id = await make_thread(runtime)
            for number in range(runs):
                question = f"{client}/{number}"
                run = await ask(runtime, assistant_id, thread_id, question)
                created.append(question)
                assert await end_of(runtime, run) == "thread.run.completed"
            return thread_id

        thread_ids = await asyncio.gather(*(talk(client) for client in range(clients)))
        for client, thread_id in enumerate(thread_ids):
            pairs = [(f"question {client}/{n}", f"answer {client}/{n}") for n in range(runs)]
            assert await texts(runtime, thread_id) == [text for pair in pairs for text in pair]
        places = {question: place for place, question in enumerate(gate.asked)}
        assert len(places) == clients * runs
        workers = runtime.settings.runs.concurrency
        late = {question: places[question] - place for place, question in enumerate(created)}
        # ``created`` is in the order of the answers, which may differ a little from that of the
        # rows; a run that starved would be overtaken by hundreds.
        assert max(map(abs, late.values())) <= 4 * workers, late


@pytest.mark.timeout(600)
@pytest.mark.parametrize("limit", [40, pytest.param(1000, marks=pytest.mark.slow)])
async def test_a_full_queue_refuses_and_loses_nothing(
    open_scripted: OpenRuntime, limit: int
) -> None:
    await check_queue(open_scripted, limit)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("clients", [20, pytest.param(200, marks=pytest.mark.slow)])
async def test_no_thread_starves(open_scripted: OpenRuntime, clients: int) -> None:
    await check_fairness(open_scripted, clients, 5)


async def test_a_thread_is_locked_under_races(open_scripted: OpenRuntime) -> None:
    """Messages and runs race for one thread: one run at a time, and it sees exactly the messages
    that were accepted before it."""
    gate = Gate()
    async with open_scripted(gate.engine, runs=QUIET) as runtime:
        assistant_id, thread_id = await make_assistant(runtime), await make_thread(runtime)

        async def say(number: int) -> str:
            content = f"question {number}"
            body = MessageCreate.model_validate({"role": "user", "content": content})
            await runtime.messages.create(P, thread_id, body)
            return content

        for attempt in range(3):
            before = len(gate.engine.requests)
            tries: list[Any] = []
            for number in range(10):
                tries.append(say(100 * attempt + number))
                if number % 2:
                    body = RunCreate.model_validate({"assistant_id": assistant_id})
                    tries.append(runtime.runs.create(P, thread_id, body))
            found = await asyncio.gather(*tries, return_exceptions=True)
            (run,) = [one for one in found if isinstance(one, Run)]
            refusals = [one for one in found if isinstance(one, BaseException)]
            assert all(isinstance(one, InvalidRequest) and run.id in str(one) for one in refusals)
            accepted = [one for one in found if isinstance(one, str)]
            assert len(accepted) + len(refusals) + 1 == len(tries)
            gate.open()
            assert await end_of(runtime, run) == "thread.run.completed"
            (request,) = gate.engine.requests[before:]
            prompt = gate.engine.detokenize(request.prompt)
            told = await texts(runtime, thread_id)
            assert told[-1].startswith("answer")
            assert told[-len(accepted) - 1 : -1] == accepted
            seen = [text for text in told[:-1] if f"{text}<" in prompt]
            assert seen == told[:-1]


@pytest.mark.timeout(300)
async def test_a_client_that_stops_reading_harms_nobody(open_scripted: OpenRuntime) -> None:
    """Its own run ends, others' streams go on, and what was not read is kept for it once."""
    import uvicorn

    long = "word " * 20_000
    engine = ScriptedEngine(
        long,
        model_id="scripted",
        default_reply="A short answer.",
        context_length=1_000_000,
        piece_tokens=500,
    )
    async with open_scripted(engine, runs=QUIET) as runtime:
        talk = await begin(runtime)
        app = create_app(runtime, runtime.settings.server)
        config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none", port=0)
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(listener.getsockname())
        reader, writer = await asyncio.open_connection(sock=lazy, limit=4096)
        body = f'{{"assistant_id": "{talk.assistant_id}", "stream": true}}'
        writer.write(
            f"POST /v1/threads/{talk.thread_id}/runs HTTP/1.1\r\nHost: x\r\n"
            f"OpenAI-Beta: assistants=v2\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await reader.readuntil(b"\r\n\r\n")  # and no more

        async def another() -> None:
            other = await begin(runtime)
            assert (await other.finish()).status == "completed"

        await asyncio.wait_for(asyncio.gather(*(another() for _ in range(20))), 120)
        run = await _ended(talk)
        assert run.status == "completed"
        assert (await talk.texts())[-1] == ("assistant", long)
        writer.transport.abort()
        server.should_exit = True
        await asyncio.wait_for(serving, 30)


async def _ended(talk: Talk) -> Run:
    page = await talk.runtime.runs.list(P, talk.thread_id, ListQuery(limit=1))
    await asyncio.wait_for(talk.events(page.data[0]), 120)
    return await talk.look(page.data[0])
