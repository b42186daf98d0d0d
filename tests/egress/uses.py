"""A program that uses a localassist installation for all it is for, and says what came of it.

``python uses.py HOME`` needs nothing but the installation whose Python runs it. It talks to the
embedded models in this process, to a server on loopback, and to the command line through pipes. It
prints a JSON object a line: ``{"place": …, "use": …, "seconds": …}``, and ends with a traceback
where a use does not come to its end. What the small model says is not judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from localassist import LocalAssist
from localassist.settings import load_settings

warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's, of the whole surface
MODEL = "gpt-4o"
HANDBOOK = b"# Harbour\n\nThe harbour office is open from seven in the morning until noon.\n"
TABLE = b"boat,metres\nAnna,7\nBert,12\n"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
Use = Callable[[openai.OpenAI], None]


def chat(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Name a planet."}]}
    stream = client.chat.completions.create(**asked, max_tokens=8, stream=True)
    assert any(chunk.choices[0].delta.content for chunk in stream)


def embeddings(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="text-embedding-3-small", input=["A cat.", "A dog."])
    assert [len(each.embedding) for each in made.data] == [384, 384]


def search(client: openai.OpenAI) -> None:
    """A file is read, embedded, indexed and found, and a run answers from it."""
    store = client.vector_stores.create(name="harbour")
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("handbook.md", HANDBOOK)
    )
    assert file.status == "completed", file.last_error
    (found,) = client.vector_stores.search(store.id, query="When is the office open?").data
    assert "until noon" in found.content[0].text
    run = answer(
        client,
        "When is the harbour office open?",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    assert run.status == "completed", run.last_error


def code(client: openai.OpenAI) -> None:
    file = client.files.create(file=("boats.csv", TABLE), purpose="assistants")
    run = answer(
        client,
        "Plot the metres of the boats in the data set.",
        tools=[{"type": "code_interpreter"}],
        tool_resources={"code_interpreter": {"file_ids": [file.id]}},
    )
    assert run.status == "completed", run.last_error
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
    assert any(step.type == "tool_calls" for step in steps)


def functions(client: openai.OpenAI) -> None:
    run = answer(client, "What's the weather in Paris?", tools=[WEATHER])
    assert run.required_action is not None, run.status
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    done = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=run.thread_id,
        tool_outputs=[{"tool_call_id": call.id, "output": "light rain"}],
    )
    assert done.status == "completed", done.last_error


def answer(client: openai.OpenAI, question: str, **assistant: Any) -> Any:
    made = client.beta.assistants.create(model=MODEL, **assistant)
    return client.beta.threads.create_and_run_poll(
        assistant_id=made.id,
        thread={"messages": [{"role": "user", "content": question}]},
        max_completion_tokens=256,
    )


USES: tuple[Use, ...] = (chat, embeddings, search, code, functions)


def use_all(place: str, client: openai.OpenAI) -> None:
    for use in USES:
        with said(place, use.__name__):
            use(client)


@contextmanager
def said(place: str, use: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"place": place, "use": use, "seconds": seconds}), flush=True)


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "localassist", "--home", str(home), *words]


@contextmanager
def served(home: Path) -> Iterator[openai.OpenAI]:
    """``localassist serve`` on a free port of loopback."""
    server = subprocess.Popen(
        command(home, "serve", "--port", "0"),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().split()[-1]
            with openai.OpenAI(base_url=url, api_key="sk-local", max_retries=0) as client:
                yield client
        finally:
            server.terminate()


def ask(home: Path, *words: str, question: str | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(command(home, *words), input=question, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def main(home: Path) -> None:
    with LocalAssist(settings=load_settings(home)) as client:
        use_all("in this process", client)
    with served(home) as client:
        use_all("a server", client)
    with said("the command line", "chat in a pipe"):
        assert ask(home, "chat", question="Name a planet.").strip()
    with said("the command line", "code"):
        assert ask(home, "sandbox", "exec", "-", question="print(6 * 7)").strip() == "42"
    with said("the command line", "doctor"):
        assert ask(home, "doctor")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
