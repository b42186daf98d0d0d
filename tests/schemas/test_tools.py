from __future__ import annotations

import json
from typing import Any

import pytest

from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.errors import parse_body
from localassist.schemas.runs import RunCreate, ThreadAndRunCreate
from localassist.schemas.tools import FunctionTool, ToolResourcesCreate


def created(**fields: Any) -> AssistantCreate:
    return parse_body(AssistantCreate, json.dumps({"model": "m", **fields}).encode())


def test_v1_names_become_v2() -> None:
    body = created(tools=[{"type": "retrieval"}], response_format="none", file_ids=["file-1"])
    assert body.dump()["tools"] == [{"type": "file_search"}]
    assert body.response_format == "auto"
    assert body.file_ids == ["file-1"]
    run = parse_body(RunCreate, b'{"assistant_id": "a", "tool_choice": {"type": "retrieval"}}')
    assert run.dump()["tool_choice"] == {"type": "file_search"}


@pytest.mark.parametrize("ranker", ["auto", "default_2024_08_21", "default-2024-08-21"])
def test_all_three_rankers_are_accepted(ranker: str) -> None:
    options = {"ranker": ranker, "score_threshold": 0}
    body = created(tools=[{"type": "file_search", "file_search": {"ranking_options": options}}])
    echoed = body.dump()["tools"][0]["file_search"]["ranking_options"]
    assert echoed == {"ranker": ranker.replace("-", "_"), "score_threshold": 0.0}


def test_tools_are_echoed_without_additions() -> None:
    tools = [
        {"type": "code_interpreter"},
        {"type": "file_search"},
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "g", "strict": False, "parameters": {}}},
    ]
    assert created(tools=tools).dump()["tools"] == tools


def test_function_spec() -> None:
    bare = FunctionTool.model_validate({"type": "function", "function": {"name": "f"}}).spec()
    assert (bare.name, bare.description, bare.strict) == ("f", "", False)
    assert bare.parameters == {"type": "object", "properties": {}}
    full = FunctionTool.model_validate(
        {
            "type": "function",
            "function": {
                "name": "g",
                "description": "does g",
                "parameters": {"properties": {"x": {}}},
                "strict": True,
            },
        }
    ).spec()
    assert (full.description, full.strict) == ("does g", True)
    assert full.parameters == {"type": "object", "properties": {"x": {}}}


def test_json_schema_keeps_its_wire_name() -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": None},
    }
    echoed = created(response_format=wanted).dump()["response_format"]
    assert echoed["json_schema"] == {"name": "n", "schema": {"type": "object"}}


def test_stores_to_be_made_leave_room_for_their_ids() -> None:
    resources = ToolResourcesCreate.model_validate(
        {"file_search": {"vector_stores": [{"file_ids": ["file-1"]}]}}
    )
    assert resources.stored().dump() == {"file_search": {"vector_store_ids": []}}
    assert ToolResourcesCreate().stored().dump() == {}


def test_run_fields_of_create_and_run() -> None:
    raw = b'{"assistant_id": "a", "temperature": null, "thread": {}, "stream": true}'
    run = parse_body(ThreadAndRunCreate, raw).run_fields()
    assert run.model_fields_set == {"assistant_id", "temperature", "stream"}
    assert (run.assistant_id, run.temperature, run.stream) == ("a", None, True)
    assert run.parallel_tool_calls
    assert run.additional_messages is None
