"""Runs whose code is run in real kernels; only the model is scripted."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.schemas.runs import Run
from tests.runs.conftest import OpenRuntime, P, Talk, begin, names
from tests.runs.test_code_interpreter import (
    CODE,
    RUNNING,
    content_of,
    outputs_of,
    python,
)
from tests.runs.test_code_interrupted import BROKEN, until_printed
from tests.runs.test_file_search import ANSWERING, HEAD

pytestmark = pytest.mark.sandbox

FIGURE = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 4])
plt.show()
open("/mnt/data/table.csv", "w").write("a,b\\n1,2\\n")
print("drawn")
"""


@pytest.fixture
def open_real(open_scripted: OpenRuntime) -> OpenRuntime:
    sandbox = {"preload": [], "warm_kernels": 0}
    return partial(open_scripted, interpreter=None, sandbox=sandbox)


async def logs_of(talk: Talk, run: Run, step: int = 0) -> str:
    (outputs,) = await outputs_of(talk, run, step)
    return "".join(output["logs"] for output in outputs if output["type"] == "logs")


async def test_variables_stay_for_the_thread_and_for_no_other(open_real: OpenRuntime) -> None:
    engine = ScriptedEngine(
        python("x = 41\nx"), "Set.", python("x + 1"), "42.", model_id="scripted"
    )
    async with open_real(engine) as runtime:
        talk = await begin(runtime, "Set x.", tools=[CODE])
        run = await talk.finish()
        assert (run.status, (await logs_of(talk, run)).strip()) == ("completed", "41")
        await talk.say("And one more?")
        run = await talk.finish()
        assert (await logs_of(talk, run)).strip() == "42"
        engine.enqueue(python("x"), "It is not there.")
        other = await begin(runtime, "What is x?", tools=[CODE])
        run = await other.finish()
        assert run.status == "completed" and "NameError" in await logs_of(other, run)


async def test_figures_and_files_come_back(open_real: OpenRuntime) -> None:
    answer = "Here is [the table](sandbox:/mnt/data/table.csv)."
    engine = ScriptedEngine(python(FIGURE), answer, model_id="scripted")
    async with open_real(engine) as runtime:
        talk = await begin(runtime, "Draw.", tools=[CODE])
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, *RUNNING, *ANSWERING]
        image, text = await content_of(talk)
        file_id = image["image_file"]["file_id"]
        stored = await runtime.files.retrieve(P, file_id)
        assert stored.purpose == "assistants_output"
        (link,) = text["text"]["annotations"]
        written = await runtime.files.retrieve(P, link["file_path"]["file_id"])
        assert (written.filename, written.purpose, written.bytes) == (
            "table.csv",
            "assistants_output",
            len("a,b\n1,2\n"),
        )
        assert "drawn" in await logs_of(talk, run)
        await talk.say("Again?")
        engine.enqueue("It is [the table](sandbox:/mnt/data/table.csv) of before.")
        await talk.finish()
        (text,) = await content_of(talk)
        (later,) = text["text"]["annotations"]
        assert later["file_path"] == link["file_path"]


async def test_cancelling_interrupts_and_leaves_the_kernel_alive(open_real: OpenRuntime) -> None:
    endless = "y = 5\nimport time\nprint('begun', flush=True)\nwhile True: time.sleep(0.05)"
    engine = ScriptedEngine(python(endless), model_id="scripted")
    async with open_real(engine) as runtime:
        talk = await begin(runtime, "Wait.", tools=[CODE])
        run = await talk.start()
        await asyncio.wait_for(until_printed(talk, run), 60)
        await runtime.runs.cancel(P, talk.thread_id, run.id)
        await asyncio.wait_for(talk.events(run), 60)
        assert (await talk.look(run)).status == "cancelled"
        assert "begun" in await logs_of(talk, run)
        await talk.say("What is y?")
        engine.enqueue(python("print(y)"), "Five.")
        run = await talk.finish()
        assert (await logs_of(talk, run)).strip() == "5"


async def test_a_parked_run_has_its_code_run_in_a_new_kernel(open_real: OpenRuntime) -> None:
    code = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    engine = ScriptedEngine(python(code), model_id="scripted")
    async with open_real(engine) as runtime:
        talk = await begin(runtime, "Wait.", tools=[CODE])
        run = await talk.start()
        await asyncio.wait_for(until_printed(talk, run), 60)
    engine = ScriptedEngine(python("print('now')"), "Done.", model_id="scripted")
    async with open_real(engine) as runtime:
        talk.runtime = runtime
        events = await asyncio.wait_for(talk.events(run), 60)
        assert names(events) == [*HEAD, *BROKEN, *RUNNING, *ANSWERING]
        assert "now" in await logs_of(talk, run, 1)


async def test_after_a_restart_files_are_back_and_variables_are_said_to_be_lost(
    open_real: OpenRuntime,
) -> None:
    code = "x = 41\nopen('kept.csv', 'w').write('a')"
    async with open_real(ScriptedEngine(python(code), "Set.", model_id="scripted")) as runtime:
        talk = await begin(runtime, "Set x.", tools=[CODE])
        assert (await talk.finish()).status == "completed"
    look = python("open('kept.csv').read(), 'x' in globals()")
    engine = ScriptedEngine(look, python("1"), "It is gone.", model_id="scripted")
    async with open_real(engine) as runtime:
        talk.runtime = runtime
        await talk.say("What is x?")
        run = await talk.finish()
        found, notice = (await logs_of(talk, run)).splitlines()
        assert found == "('a', False)"
        assert "started anew" in notice and "variables are lost" in notice
        assert "variables are lost" in engine.detokenize(engine.requests[1].prompt)
        assert (await logs_of(talk, run, 1)).strip() == "1"


async def test_a_kernel_that_dies_is_said_to_the_model(open_real: OpenRuntime) -> None:
    engine = ScriptedEngine(
        python("import os\nos._exit(3)"), python("print('alive')"), "Done.", model_id="scripted"
    )
    async with open_real(engine) as runtime:
        talk = await begin(runtime, "Die.", tools=[CODE])
        run = await talk.finish()
        assert run.status == "completed"
        assert "kernel" in await logs_of(talk, run)
        second = await logs_of(talk, run, 1)
        assert "alive" in second and "started anew" in second
        shown: Any = engine.detokenize(engine.requests[1].prompt)
        assert "died" in shown


async def test_code_of_a_led_model(open_real: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with open_real(engine, tool_mode="guided") as runtime:
        talk = await begin(runtime, "x = 41", tools=[CODE])
        assert (await talk.finish()).status == "completed"
        await talk.say("x + 1")
        run = await talk.finish()
        assert (await logs_of(talk, run)).strip() == "42"
        assert "42" in (await talk.texts())[-1][1]
