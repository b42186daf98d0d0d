from __future__ import annotations

import json
import time

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas import json_text
from localassist.schemas.json_text import MAX_DEPTH, read_object

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON."
)


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"hello",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1}{"b": 2}',
        b'{"a": "\xff"}',
        b'{"a": "\x00"}',
        b"\x00\x01\x02",
    ],
)
def test_what_is_not_json(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_object(raw)
    assert caught.value.message.startswith(NOT_JSON)
    assert (caught.value.param, caught.value.code) == (None, None)


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"[]", "an array"),
        (b"null", "null"),
        (b'"{}"', "a string"),
        (b"1", "an integer"),
        (b"1.5", "a decimal number"),
        (b"true", "a boolean"),
    ],
)
def test_the_body_must_be_an_object(raw: bytes, got: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_object(raw)
    assert caught.value.message == f"Invalid type: expected an object, but got {got} instead."
    assert caught.value.code == "invalid_type"


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (rb'{"a": "x\u0000y"}', "a"),
        (rb'{"a": "\ud800"}', "a"),
        (rb'{"a": "\udc00\ud800"}', "a"),
        (rb'{"a": [{"b": ["ok", "\u0000"]}]}', "a[0].b[1]"),
        (rb'{"metadata": {"k\u0000": "v"}}', "metadata"),
        (rb'{"\u0000": 1}', None),
        (b'{"a": 1e999}', "a"),
        (b'{"a": {"b": ' + b"9" * 100_000 + b"}}", "a.b"),
        (b'{"a": -9223372036854775809}', "a"),
    ],
)
def test_values_no_layer_can_hold(raw: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_object(raw)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")
    caught.value.message.encode()


@pytest.mark.parametrize("text", ["ünïcödé", "\U0001f600", "\x01", "tab\t", "\ue000", "\uffff"])
def test_ordinary_text_survives(text: str) -> None:
    assert read_object(json.dumps({"a": text}).encode()) == {"a": text}


def test_numbers_of_64_bits_survive() -> None:
    numbers = [2**64 - 1, -(2**63), 1.5, 1e308]
    assert read_object(json.dumps({"a": numbers}).encode()) == {"a": numbers}


def test_depth_limit_is_exact() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * levels + b"1" + b"}" * levels

    read_object(nested(MAX_DEPTH))
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        read_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("raw", [b"[" * 5_000_000, b'{"a":' * 1_000_000, b'{"a":' + b"[" * 99_999])
def test_recursion_bombs_are_answered_at_once(raw: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidRequest):
        read_object(raw)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b'""', b'"\\""', b"null", b'[["a"]]'])
def test_values_by_the_million_are_refused_before_they_take_memory(
    monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    """The server stood still for minutes, and a body of 15 MB took more than a gigabyte."""
    monkeypatch.setattr(json_text, "MAX_VALUES", 1000)
    monkeypatch.setattr(json, "loads", lambda raw, **options: pytest.fail("it was read"))
    with pytest.raises(InvalidRequest, match="too many values") as caught:
        read_object(b'{"a": [' + b",".join([value] * 1001) + b"]}")
    assert caught.value.code == "invalid_value"


def test_text_full_of_brackets_is_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 1000)
    text = '[{,"\\' * 2000
    assert read_object(json.dumps({"a": text}).encode()) == {"a": text}


def test_a_long_list_of_tokens_is_taken() -> None:
    numbers = list(range(100_000))
    assert read_object(json.dumps({"input": numbers}).encode()) == {"input": numbers}
