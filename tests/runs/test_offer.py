"""What a turn may do, for every kind of model, choice and past."""

from __future__ import annotations

from typing import Any

import pytest

from localassist.chat.formats import ToolChoice
from localassist.errors import InvalidRequest, LocalAssistError, SandboxUnavailable
from localassist.runs.coding import Workplace
from localassist.runs.offer import Means, Offer, Progress, check_choice, offer
from localassist.sandbox.verdict import Verdict
from localassist.tools.base import Toolbox
from localassist.tools.code_interpreter.base import CodeFile

FILE_SEARCH = {"type": "file_search"}
CODE = {"type": "code_interpreter"}
START = Progress()
CALLED = Progress(1, has_called=True)
SEARCHED = Progress(1, has_searched=True)
RAN = Progress(1, has_run_code=True)
FAILED = Progress(2, has_run_code=True, failures=2)
OFTEN_FAILED = Progress(3, has_run_code=True, failures=3)
FILES = (CodeFile("table.csv", "file-1", 12),)
WORKING = Workplace("p", "thread_1", Verdict("bubblewrap", "strong", ok=True), files=FILES)
BROKEN = Workplace(
    "p",
    "thread_1",
    Verdict("bubblewrap", "none", False, ("bwrap was not found.",), "apt install bubblewrap"),
)


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"properties": {}}}}


def chosen(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def made(tools: list[Any], choice: Any = "auto", done: Progress = START, **options: Any) -> Offer:
    means = Means(**{"calls_itself": False, "has_stores": True, **options})
    return offer(Toolbox.from_wire(tools), choice, done, means)


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


@pytest.mark.parametrize(
    ("tools", "choice", "done", "search", "code", "functions", "mode"),
    [
        ([CODE], "auto", START, "no", "may", [], "auto"),
        ([CODE], "none", START, "no", "no", [], "none"),
        ([CODE], "required", START, "no", "must", [], "auto"),
        ([CODE], CODE, START, "no", "must", [], "none"),
        ([CODE, function("f")], "auto", START, "no", "may", ["f"], "auto"),
        ([CODE, function("f")], "required", START, "no", "must", ["f"], "auto"),
        ([CODE, function("f")], chosen("f"), START, "no", "no", ["f"], "named"),
        ([CODE, function("f")], CODE, START, "no", "must", [], "none"),
        ([CODE, function("f")], "auto", CALLED, "no", "no", ["f"], "auto"),
        ([CODE, FILE_SEARCH], "auto", START, "may", "may", [], "auto"),
        ([CODE, FILE_SEARCH], "required", START, "must", "may", [], "auto"),
        ([CODE, FILE_SEARCH], FILE_SEARCH, START, "must", "no", [], "none"),
        ([CODE, FILE_SEARCH], CODE, START, "no", "must", [], "none"),
        ([CODE, FILE_SEARCH], "auto", SEARCHED, "no", "no", [], "none"),
        ([CODE], "auto", RAN, "no", "no", [], "none"),
        ([CODE], CODE, FAILED, "no", "again", [], "none"),
        ([CODE], CODE, OFTEN_FAILED, "no", "no", [], "none"),
    ],
)
def test_a_model_whose_code_is_asked_for(
    tools: list[Any],
    choice: Any,
    done: Progress,
    search: str,
    code: str,
    functions: list[str],
    mode: str,
) -> None:
    may = made(tools, choice, done, place=WORKING, writes_cells=True, code_attempts=3)
    found = (may.search, may.code, names(may), may.choice.mode, may.code_name)
    assert found == (search, code, functions, mode, None)
    assert may.leads == (search != "no" or code != "no")


@pytest.mark.parametrize(
    ("choice", "done", "mode"),
    [
        ("auto", START, ToolChoice("auto")),
        ("required", START, ToolChoice("required")),
        (CODE, START, ToolChoice("named", "run_python")),
        (CODE, FAILED, ToolChoice("auto")),
        ("none", START, ToolChoice("none")),
    ],
)
def test_a_model_that_writes_code_itself(choice: Any, done: Progress, mode: ToolChoice) -> None:
    may = made([function("python"), CODE], choice, done, calls_itself=True, place=WORKING)
    assert may.choice == mode and not may.leads
    if mode.mode != "none":
        assert (names(may), may.code_name) == (["python", "run_python"], "run_python")
        assert "table.csv" in may.functions[-1].description


def test_a_model_that_is_never_asked_can_be_told_to_write_code() -> None:
    assert names(made([CODE], place=WORKING)) == []
    may = made([CODE], CODE, place=WORKING)
    assert (may.choice, may.code_name) == (ToolChoice("named", "python"), "python")
    assert made([CODE], CODE, RAN, place=WORKING) == Offer()


def test_code_may_follow_a_grounded_answer() -> None:
    options = {"calls_itself": True, "is_grounded": True, "place": WORKING}
    may = made([FILE_SEARCH, CODE], "auto", SEARCHED, **options)
    assert names(may) == ["file_search", "python"]


@pytest.mark.parametrize("calls_itself", [True, False])
@pytest.mark.parametrize("choice", [CODE, "required"])
def test_code_cannot_be_demanded_where_it_cannot_be_run(choice: Any, calls_itself: bool) -> None:
    options = {"calls_itself": calls_itself, "writes_cells": True, "place": BROKEN}
    with pytest.raises(SandboxUnavailable) as caught:
        made([CODE], choice, **options)
    assert "bwrap was not found." in caught.value.message
    assert "apt install bubblewrap" in caught.value.message
    assert made([CODE], choice, RAN, **options).code_name is None
    for tools in ([CODE, FILE_SEARCH], [CODE, function("f")]):
        may = made(tools, "auto", **options)
        assert (may.code, may.code_name) == ("no", None)
        made(tools, "required", **options)


def test_a_call_cannot_be_demanded_without_tools() -> None:
    with pytest.raises(LocalAssistError, match="none is declared"):
        made([], "required")


def test_choices_must_be_declared() -> None:
    box = Toolbox.from_wire([CODE, function("f")])
    for choice in ("auto", "required", "none", CODE, chosen("f")):
        check_choice(box, choice)
    for choice in (FILE_SEARCH, chosen("g")):
        with pytest.raises(InvalidRequest) as caught:
            check_choice(box, choice)
        assert (caught.value.param, caught.value.code) == ("tool_choice", "invalid_value")
