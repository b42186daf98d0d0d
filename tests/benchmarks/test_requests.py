import json
from pathlib import Path

from benchmarks.tools import requests
from benchmarks.tools.dataset import OWN_SET, load
from localassist.core import ToolSpec


def test_the_wanted_calls_are_written_as_the_format_has_them() -> None:
    items = load(OWN_SET, "parallel")
    (request,) = requests.of_items([items[1], items[1]])
    assert [tool.name for tool in request.tools] == ["set_thermostat"]
    assert request.written == (
        '<tool_call>\n{"name": "set_thermostat", "arguments": '
        '{"room": "kitchen", "celsius": 20.0}}\n</tool_call>\n'
        '<tool_call>\n{"name": "set_thermostat", "arguments": '
        '{"room": "bathroom", "celsius": 23.0}}\n</tool_call>'
    )


def test_nothing_wanted_is_answered_in_words() -> None:
    (request,) = requests.of_items(load(OWN_SET, "irrelevance", 1))
    assert "<tool_call>" not in request.written and request.written


def test_schemas_that_take_objects_become_tools(tmp_path: Path) -> None:
    schema = {"properties": {"a": {"type": "integer"}}}
    lines = [
        {"schema": schema, "valid": [{"a": 1}, {}], "invalid": [{"a": "x"}]},
        {"schema": {"type": "array"}, "valid": [[]]},
        {"schema": {"enum": [1, 2]}, "valid": [1]},
    ]
    file = tmp_path / "schemas.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (request,) = requests.of_schemas(file)
    assert request.tools == [ToolSpec("use", parameters=schema)]
    assert '"arguments": {"a": 1}' in request.written
