"""Declared tools, sorted by who serves them."""

from __future__ import annotations

from localassist.core import ToolSpec
from localassist.tools.base import SearchOptions, Toolbox


def test_functions_are_offered_and_built_ins_are_named() -> None:
    box = Toolbox.from_wire(
        [
            {"type": "code_interpreter"},
            {"type": "function", "function": {"name": "f", "strict": None}},
            {"type": "file_search", "file_search": {"max_num_results": 3}},
            {"type": "function", "function": {"name": "g", "parameters": {"properties": {}}}},
            {"type": "code_interpreter"},
        ]
    )
    no_arguments = {"type": "object", "properties": {}}
    assert box.functions == (ToolSpec("f"), ToolSpec("g", parameters=no_arguments))
    assert box.positions == (1, 3)
    assert box.file_search == SearchOptions(max_results=3)
    assert box.code_interpreter
    assert not Toolbox.from_wire([{"type": "file_search"}]).code_interpreter


def test_options_of_a_search() -> None:
    ranking = {"ranker": "auto", "score_threshold": 0.4}
    tools = [
        {"type": "file_search", "file_search": {"ranking_options": ranking}},
        {"type": "file_search", "file_search": {"max_num_results": 1}},
    ]
    assert Toolbox.from_wire(tools).file_search == SearchOptions(20, 0.4)
    assert Toolbox.from_wire([{"type": "file_search"}]).file_search == SearchOptions()
    assert Toolbox.from_wire([]).file_search is None
