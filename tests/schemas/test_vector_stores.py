from __future__ import annotations

import json
from typing import Any

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas.base import Body
from localassist.schemas.errors import parse_body
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    StoreFileUpdate,
    VectorStoreCreate,
    VectorStoreSearch,
    parse_filter,
)

OPERATORS = (
    "'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'and', and 'or'"  # as the error lists them
)
SCALARS = "one of a string, a decimal number, or a boolean"


def search(filters: Any) -> dict[str, Any]:
    return {"query": "?", "filters": filters}


def attributes(value: Any) -> dict[str, Any]:
    return {"file_id": "file-1", "attributes": value}


def both(*filters: Any) -> dict[str, Any]:
    return search({"type": "and", "filters": list(filters)})


REFUSALS: list[tuple[type[Body], Any, str, str, str]] = [
    (
        VectorStoreSearch,
        search({"type": "like", "key": "a", "value": 1}),
        f"Invalid value: 'like'. Supported values are: {OPERATORS}.",
        "filters.type",
        "invalid_value",
    ),
    (
        VectorStoreSearch,
        both({"type": "eq", "key": "a", "value": 1}, {"type": "is"}),
        f"Invalid value: 'is'. Supported values are: {OPERATORS}.",
        "filters.filters[1].type",
        "invalid_value",
    ),
    (
        VectorStoreSearch,
        both({"type": "eq", "key": "a"}),
        "Missing required parameter: 'filters.filters[0].value'.",
        "filters.filters[0].value",
        "missing_required_parameter",
    ),
    (
        VectorStoreSearch,
        search({"type": "in", "key": "a", "value": "b"}),
        "Invalid type for 'filters.value': expected an array, but got a string instead.",
        "filters.value",
        "invalid_type",
    ),
    (
        VectorStoreSearch,
        search({"type": "nin", "key": "a", "value": ["b", True]}),
        "Invalid type for 'filters.value[1]': expected one of a string or a decimal number, "
        "but got a boolean instead.",
        "filters.value[1]",
        "invalid_type",
    ),
    (
        VectorStoreSearch,
        search({"type": "gt", "key": "a", "value": [1]}),
        f"Invalid type for 'filters.value': expected {SCALARS}, but got an array instead.",
        "filters.value",
        "invalid_type",
    ),
    (
        VectorStoreSearch,
        {"query": "?", "ranking_options": {"ranker": "best"}},
        "Invalid value: 'best'. Supported values are: 'none', 'auto', and 'default-2024-11-15'.",
        "ranking_options.ranker",
        "invalid_value",
    ),
    (
        VectorStoreSearch,
        {"query": 5},
        "Invalid type for 'query': expected one of a string or an array of strings, "
        "but got an integer instead.",
        "query",
        "invalid_type",
    ),
    (
        StoreFileCreate,
        attributes({"a": None}),
        f"Invalid type for 'attributes.a': expected {SCALARS}, but got null instead.",
        "attributes.a",
        "invalid_type",
    ),
    (
        StoreFileCreate,
        attributes({"a": "x" * 513}),
        "Invalid 'attributes.a': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
        "attributes.a",
        "string_above_max_length",
    ),
    (
        StoreFileCreate,
        attributes({"k" * 65: 1}),
        f"Invalid property name in 'attributes': '{'k' * 65}' is too long. Expected a string "
        "with maximum length 64, but got a string with length 65 instead.",
        "attributes",
        "string_above_max_length",
    ),
    (
        StoreFileUpdate,
        {},
        "Missing required parameter: 'attributes'.",
        "attributes",
        "missing_required_parameter",
    ),
    (
        FileBatchCreate,
        {},
        "Missing required parameter: 'file_ids'.",
        "file_ids",
        "missing_required_parameter",
    ),
    (
        FileBatchCreate,
        {"files": []},
        "Invalid 'files': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "files",
        "empty_array",
    ),
    (
        VectorStoreCreate,
        {"file_ids": ["file-1"] * 501},
        "Invalid 'file_ids': array too long. Expected an array with maximum length 500, "
        "but got an array with length 501 instead.",
        "file_ids",
        "array_above_max_length",
    ),
]


@pytest.mark.parametrize(("body_type", "body", "message", "param", "code"), REFUSALS)
def test_refusals(body_type: type[Body], body: Any, message: str, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_body(body_type, json.dumps(body).encode())
    assert (caught.value.message, caught.value.param, caught.value.code) == (message, param, code)


def test_what_applies_to_the_files_of_a_batch() -> None:
    strategy = {"type": "auto"}
    shared = {"file_ids": ["file-1", "file-2"], "attributes": {"a": 1}}
    body = FileBatchCreate.model_validate({**shared, "chunking_strategy": strategy})
    assert [entry.dump() for entry in body.entries] == [
        {"file_id": file_id, "attributes": {"a": 1}, "chunking_strategy": strategy}
        for file_id in ("file-1", "file-2")
    ]
    own = [{"file_id": "file-1", "attributes": {"b": 2}}]
    body = FileBatchCreate.model_validate({"files": own, "attributes": {"a": 1}})
    assert [entry.attributes for entry in body.entries] == [{"b": 2}]


def test_the_filter_of_a_list() -> None:
    assert parse_filter({}) is None
    assert parse_filter({"filter": "failed"}) == "failed"
    with pytest.raises(InvalidRequest) as caught:
        parse_filter({"filter": "done"})
    assert caught.value.message == (
        "Invalid value: 'done'. Supported values are: "
        "'in_progress', 'completed', 'failed', and 'cancelled'."
    )
