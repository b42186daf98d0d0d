"""The headers of ``server/differences``: what becomes of each is so."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from localassist.server.differences import HEADERS
from tests.conformance.wire import raw

ASSISTANT = {"model": "gpt-4o", "tools": [{"type": "file_search"}]}


def made(client: openai.OpenAI, **headers: str) -> dict[str, Any]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = raw(client, "POST", "/assistants", json=ASSISTANT, headers=names)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("key", ["", "Bearer sk-anything", "Basic abc"])
def test_authorization(client: openai.OpenAI, key: str) -> None:
    assert made(client, Authorization=key)


@pytest.mark.parametrize(
    ("beta", "tool"),
    [
        ("assistants=v1", "retrieval"),
        ("assistants=v2", "file_search"),
        ("", "file_search"),
        ("else", "file_search"),
    ],
)
def test_openai_beta(client: openai.OpenAI, beta: str, tool: str) -> None:
    assert made(client, OpenAI_Beta=beta)["tools"] == [{"type": tool}]


@pytest.mark.parametrize("name", ["OpenAI_Organization", "OpenAI_Project"])
def test_whose_objects_are_meant_is_not_said_by_headers(client: openai.OpenAI, name: str) -> None:
    assistant_id = made(client, **{name: "one"})["id"]
    headers = {name.replace("_", "-"): "other"}
    assert raw(client, "GET", f"/assistants/{assistant_id}", headers=headers).status_code == 200


def test_idempotency_key(client: openai.OpenAI) -> None:
    first, second = (made(client, Idempotency_Key="same")["id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("name", ["Accept", "Content_Type"])
def test_types_are_not_negotiated(client: openai.OpenAI, name: str) -> None:
    assert made(client, **{name: "text/html"})["object"] == "assistant"


def test_every_header_has_a_test() -> None:
    assert set(HEADERS) == {
        "Authorization",
        "OpenAI-Beta",
        "OpenAI-Organization",
        "OpenAI-Project",
        "Idempotency-Key",
        "Content-Type",
        "Accept",
    }


@pytest.mark.parametrize("path", ["/assistants", "/nowhere", "/threads/x"])
def test_what_answers_carry(client: openai.OpenAI, path: str) -> None:
    headers = raw(client, "GET", path).headers
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["content-type"] == "application/json"
