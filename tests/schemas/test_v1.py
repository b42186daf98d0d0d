from __future__ import annotations

import copy
from typing import Any

from localassist.schemas import events
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import Page, WireModel
from localassist.schemas.messages import Message
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run
from localassist.schemas.threads import Thread
from localassist.schemas.v1 import to_v1

V1_TOOL_TYPES = ["code_interpreter", "retrieval", "function"]


def test_assistant(assistant: Assistant) -> None:
    v2 = assistant.dump()
    v1 = to_v1(v2)
    assert v2.keys() - v1.keys() == {"tool_resources"}
    assert v1["file_ids"] == ["file-1"]
    assert [tool["type"] for tool in v1["tools"]] == V1_TOOL_TYPES
    assert v1["tools"][1] == {"type": "retrieval"}
    assert v1["tools"][2] == v2["tools"][2]


def test_thread(thread: Thread) -> None:
    assert to_v1(thread.dump()).keys() == {"id", "object", "created_at", "metadata"}


def test_message(message: Message) -> None:
    v2 = message.dump()
    v1 = to_v1(v2)
    assert v2.keys() - v1.keys() == {"attachments"}
    assert v1["file_ids"] == ["file-1"]
    citation, path = v1["content"][1]["text"]["annotations"]
    assert citation["file_citation"] == {"file_id": "file-1", "quote": ""}
    assert path == v2["content"][1]["text"]["annotations"][1]


def test_a_known_quote_is_kept() -> None:
    annotation = {
        "type": "file_citation",
        "text": "x",
        "start_index": 0,
        "end_index": 1,
        "file_citation": {"file_id": "file-1", "quote": "said"},
    }
    part = events.more_text(0, "x", [events.indexed(0, annotation)])
    v1 = to_v1(events.message_delta("msg_1", part))
    assert v1["delta"]["content"][0]["text"]["annotations"][0] == {"index": 0, **annotation}


def test_run(run: Run) -> None:
    v2 = run.dump()
    v1 = to_v1(v2)
    assert v2.keys() - v1.keys() == {"tool_resources", "parallel_tool_calls"}
    assert v1["file_ids"] == ["file-1"]
    assert [tool["type"] for tool in v1["tools"]] == V1_TOOL_TYPES
    assert v1["required_action"] == v2["required_action"]


def test_chosen_tool_is_renamed_too(run: Run) -> None:
    v2 = {**run.dump(), "tool_choice": {"type": "file_search"}}
    assert to_v1(v2)["tool_choice"] == {"type": "retrieval"}


def test_step(step: RunStep, message_step: RunStep) -> None:
    v2 = step.dump()
    v1 = to_v1(v2)
    code, search, function = v1["step_details"]["tool_calls"]
    assert search == {"id": "call_2", "type": "retrieval", "retrieval": {}}
    assert [code, function] == v2["step_details"]["tool_calls"][::2]
    assert to_v1(message_step.dump()) == message_step.dump()


def test_step_delta() -> None:
    v1 = to_v1(events.step_delta("step_1", events.file_search(0, "call_1")))
    assert v1["delta"]["step_details"]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "retrieval", "retrieval": {}}
    ]


def test_plain_message_delta_stays() -> None:
    delta = events.message_delta("msg_1", events.first_text(0, "hi"))
    assert to_v1(delta) == delta


def test_lists_are_rendered_item_by_item(assistant: Assistant) -> None:
    page = to_v1(Page[Assistant].of([assistant], has_more=True).dump())
    assert page["data"] == [to_v1(assistant.dump())]
    assert (page["first_id"], page["has_more"]) == ("asst_1", True)


def test_other_payloads_pass() -> None:
    payloads: list[dict[str, Any]] = [
        {"error": {"message": "m", "type": "t", "param": None, "code": None}},
        {"id": "asst_1", "object": "assistant.deleted", "deleted": True},
        {},
    ]
    for payload in payloads:
        assert to_v1(payload) == payload


def test_the_input_stays_untouched(samples: list[WireModel]) -> None:
    for sample in samples:
        v2 = sample.dump()
        before = copy.deepcopy(v2)
        to_v1(v2)
        assert v2 == before


def test_rendering_twice_changes_nothing_more(samples: list[WireModel]) -> None:
    for sample in samples:
        once = to_v1(sample.dump())
        assert to_v1(once) == once
