from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas.embeddings import Embedding, EmbeddingCreate
from localassist.schemas.errors import parse_body


def parse(value: Any) -> EmbeddingCreate:
    return parse_body(EmbeddingCreate, json.dumps({"model": "m", "input": value}).encode())


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([0, 1], [[0, 1]]),
        ([[0, 1], [2]], [[0, 1], [2]]),
        ([1] * 3000, [[1] * 3000]),
    ],
)
def test_one_entry_per_vector(given: Any, inputs: list[Any]) -> None:
    assert parse(given).inputs == inputs


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ("", "input", "empty_string"),
        ([], "input", "empty_array"),
        (["a", ""], "input[1]", "empty_string"),
        ([[1], []], "input[1]", "empty_array"),
        (["a", 1], "input[1]", "invalid_type"),
        ([1, [1]], "input[1]", "invalid_type"),
        ([-1], "input[0]", "integer_below_min_value"),
        ([1.5], "input[0]", "invalid_type"),
        (["a"] * 2049, "input", "array_above_max_length"),
        ({}, "input", "invalid_type"),
    ],
)
def test_refusals(given: Any, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(given)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_both_encodings() -> None:
    vector = [0.5, -1.0, 0.0]
    assert Embedding.of(2, vector, "float").dump() == {
        "object": "embedding",
        "index": 2,
        "embedding": vector,
    }
    encoded = Embedding.of(0, vector, "base64").embedding
    assert isinstance(encoded, str)
    assert list(struct.unpack("<3f", base64.b64decode(encoded))) == vector
