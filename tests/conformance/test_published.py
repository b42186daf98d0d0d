"""That the published descriptions judge answers at all, and forgive only what is listed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.published import (
    FILES,
    Version,
    check_answer,
    check_event,
    description,
    operation,
)

FILE: dict[str, Any] = {
    "id": "file-1",
    "object": "file",
    "bytes": 1,
    "created_at": 1,
    "filename": "a.txt",
    "purpose": "assistants",
    "status": "processed",
    "status_details": None,
    "expires_at": None,
}


@pytest.mark.parametrize("version", FILES)
def test_an_object_that_fits_passes(version: Version) -> None:
    check_answer(version, "GET", "/files/file-1", FILE)


@pytest.mark.parametrize("version", FILES)
@pytest.mark.parametrize("change", [{"bytes": "1"}, {"purpose": None}, {"object": "flie"}])
def test_one_that_does_not_is_told_by_its_field(version: Version, change: dict[str, Any]) -> None:
    (field,) = change
    with pytest.raises(AssertionError, match=f"^{field}: "):
        check_answer(version, "GET", "/files/file-1", FILE | change)


def test_each_version_has_its_own_shape() -> None:
    """The versions are told apart: a message of version 2 is none of version 1."""
    message = {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": 1,
        "thread_id": "thread_1",
        "status": "completed",
        "incomplete_details": None,
        "completed_at": 1,
        "incomplete_at": None,
        "role": "user",
        "content": [],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }
    check_event("v2", "thread.message.created", message)
    with pytest.raises(AssertionError, match="file_ids"):
        check_event("v1", "thread.message.created", message)


def test_paths_without_places_come_first() -> None:
    found = operation("v2", "POST", "/threads/runs")
    assert found is description("v2")["paths"]["/threads/runs"]["post"]
