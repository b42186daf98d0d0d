"""What a turn may do, for every kind of model, choice and past."""

from __future__ import annotations

from typing import Any

import pytest

from localassist.chat.formats import ToolChoice
from localassist.errors import InvalidRequest, LocalAssistError
from localassist.runs.offer import Offer, Progress, check_choice, offer
from localassist.tools.base import Toolbox

FILE_SEARCH = {"type": "file_search"}
CODE = {"type": "code_interpreter"}
START = Progress()
CALLED = Progress(1, has_called=True)
SEARCHED = Progress(1, has_searched=True)


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"properties": {}}}}


def chosen(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def made(tools: list[Any], choice: Any = "auto", done: Progress = START, **options: bool) -> Offer:
    options = {"calls_itself": False, "has_stores": True, **options}
    return offer(Toolbox.from_wire(tools), choice, done, **options)


def names(may: Offer) -> list[str]:
    return [tool.name for tool in may.functions]


@pytest.mark.parametrize(
    ("tools", "choice", "done", "search", "functions", "mode"),
    [
        ([FILE_SEARCH], "auto", START, "may", [], "auto"),
        ([FILE_SEARCH], "none", START, "no", [], "none"),
        ([FILE_SEARCH], "required", START, "must", [], "auto"),
        ([FILE_SEARCH], FILE_SEARCH, START, "must", [], "none"),
        ([FILE_SEARCH, function("f")], "auto", START, "may", ["f"], "auto"),
        ([FILE_SEARCH, function("f")], "required", START, "must", ["f"], "auto"),
        ([FILE_SEARCH, function("f")], FILE_SEARCH, START, "must", [], "none"),
        ([FILE_SEARCH, function("f")], chosen("f"), START, "no", ["f"], "named"),
        ([FILE_SEARCH, function("f")], "required", CALLED, "no", ["f"], "auto"),
        ([FILE_SEARCH, function("f")], "auto", SEARCHED, "no", [], "none"),
        ([FILE_SEARCH, function("f")], FILE_SEARCH, SEARCHED, "no", [], "none"),
        ([function("f")], "required", START, "no", ["f"], "required"),
    ],
)
def test_a_model_that_is_searched_for(
    tools: list[Any], choice: Any, done: Progress, search: str, functions: list[str], mode: str
) -> None:
    may = made(tools, choice, done)
    assert (may.search, names(may), may.choice.mode, may.search_name) == (
        search,
        functions,
        mode,
        None,
    )


@pytest.mark.parametrize(
    ("choice", "done", "mode"),
    [
        ("auto", START, ToolChoice("auto")),
        ("required", START, ToolChoice("required")),
        (FILE_SEARCH, START, ToolChoice("named", "file_search")),
        (chosen("f"), START, ToolChoice("named", "f")),
        (FILE_SEARCH, SEARCHED, ToolChoice("auto")),
        ("required", CALLED, ToolChoice("auto")),
    ],
)
def test_a_model_that_searches_itself(choice: Any, done: Progress, mode: ToolChoice) -> None:
    may = made([function("f"), FILE_SEARCH], choice, done, calls_itself=True)
    assert (names(may), may.choice, may.search) == (["f", "file_search"], mode, "no")
    assert may.search_name == "file_search"


def test_names_of_callers_are_kept() -> None:
    tools = [function("file_search"), function("search_files"), FILE_SEARCH]
    may = made(tools, calls_itself=True)
    assert names(may) == ["file_search", "search_files", "search_files_2"]
    assert may.search_name == "search_files_2"


@pytest.mark.parametrize("calls_itself", [True, False])
def test_without_stores_only_a_demand_leads_to_a_search(calls_itself: bool) -> None:
    options = {"calls_itself": calls_itself, "has_stores": False}
    idle = made([FILE_SEARCH], **options)
    assert (idle.search, names(idle)) == ("no", [])
    must = made([FILE_SEARCH], "required", **options)
    assert must.search == "must" or names(must) == ["file_search"]


def test_a_grounded_answer_leaves_no_room_for_a_second_search() -> None:
    options = {"calls_itself": True, "is_grounded": True}
    assert names(made([FILE_SEARCH], **options)) == ["file_search"]
    over = made([FILE_SEARCH], "auto", SEARCHED, **options)
    assert (names(over), [tool.name for tool in over.shown]) == ([], ["file_search"])
    both = made([FILE_SEARCH, function("f")], "auto", SEARCHED, **options)
    assert names(both) == ["f", "file_search"]


@pytest.mark.parametrize("choice", [CODE, "required"])
def test_what_nobody_serves_cannot_be_demanded(choice: Any) -> None:
    with pytest.raises(LocalAssistError, match="requires code_interpreter"):
        made([CODE], choice)
    assert made([CODE, FILE_SEARCH], "required").search == "must"


def test_choices_must_be_declared() -> None:
    box = Toolbox.from_wire([CODE, function("f")])
    for choice in ("auto", "required", "none", CODE, chosen("f")):
        check_choice(box, choice)
    for choice in (FILE_SEARCH, chosen("g")):
        with pytest.raises(InvalidRequest) as caught:
            check_choice(box, choice)
        assert (caught.value.param, caught.value.code) == ("tool_choice", "invalid_value")
