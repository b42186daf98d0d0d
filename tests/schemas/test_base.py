from __future__ import annotations

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas.base import Deleted, ListQuery, Page, check_id, merge_metadata
from localassist.schemas.models import Model


def test_list_query_defaults() -> None:
    assert ListQuery.parse({}) == ListQuery(limit=20, order="desc", after=None, before=None)
    assert ListQuery.parse({}, max_limit=10_000, default_limit=10_000).limit == 10_000


def test_list_query_reads_all_four() -> None:
    query = ListQuery.parse({"limit": "1", "order": "asc", "after": "a", "before": "b", "x": "y"})
    assert query == ListQuery(limit=1, order="asc", after="a", before="b")


@pytest.mark.parametrize(
    ("params", "message", "code"),
    [
        (
            {"limit": "101"},
            "Invalid 'limit': integer above maximum value. "
            "Expected a value <= 100, but got 101 instead.",
            "integer_above_max_value",
        ),
        (
            {"limit": "0"},
            "Invalid 'limit': integer below minimum value. "
            "Expected a value >= 1, but got 0 instead.",
            "integer_below_min_value",
        ),
        (
            {"limit": "ten"},
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "invalid_type",
        ),
        (
            {"limit": "١"},
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "invalid_type",
        ),
        (
            {"order": "up"},
            "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
            "invalid_value",
        ),
    ],
)
def test_list_query_refusals(params: dict[str, str], message: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ListQuery.parse(params)
    assert (caught.value.message, caught.value.code) == (message, code)
    assert caught.value.param in params


@pytest.mark.parametrize("digits", ["9" * 21, "9" * 10_000, "-" + "9" * 10_000])
def test_absurd_limits_are_out_of_range(digits: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ListQuery.parse({"limit": digits})
    side = "below_min" if digits.startswith("-") else "above_max"
    assert caught.value.code == f"integer_{side}_value"
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("name", ["after", "before", "order"])
def test_urls_can_smuggle_nul_too(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ListQuery.parse({name: "a\0"})
    assert caught.value.param == name


def test_check_id() -> None:
    assert check_id("thread_abc", "thread", "thread_id") == "thread_abc"
    assert check_id("file-abc", "file-", "file_id") == "file-abc"
    with pytest.raises(InvalidRequest) as caught:
        check_id("undefined", "thread_", "thread_id")
    error = caught.value
    assert error.message == (
        "Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'."
    )
    assert (error.param, error.code) == ("thread_id", "invalid_value")
    for broken in ("thread_\0", "thread_\ud800"):
        with pytest.raises(InvalidRequest, match="NUL"):
            check_id(broken, "thread", "thread_id")


def test_metadata_is_merged_and_null_clears() -> None:
    assert merge_metadata({"a": "1", "b": "2"}, {"b": "3"}) == {"a": "1", "b": "3"}
    assert merge_metadata({"a": "1"}, None) == {}


def test_a_merge_may_not_exceed_the_limit() -> None:
    stored = {f"k{n}": "" for n in range(16)}
    assert len(merge_metadata(stored, {"k0": "new"})) == 16
    with pytest.raises(InvalidRequest) as caught:
        merge_metadata(stored, {"one": "more"})
    assert caught.value.code == "object_above_max_properties"


def test_empty_page() -> None:
    assert Page[Model].of([]).dump() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_page_names_its_first_and_last() -> None:
    models = [Model(id=name, created=0) for name in ("a", "b", "c")]
    page = Page[Model].of(models, has_more=True).dump()
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("a", "c", True)
    assert [entry["object"] for entry in page["data"]] == ["model"] * 3


def test_deleted() -> None:
    deleted = Deleted(id="thread_1", object="thread.deleted")
    assert deleted.dump() == {"id": "thread_1", "object": "thread.deleted", "deleted": True}
