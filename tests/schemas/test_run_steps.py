from __future__ import annotations

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas.run_steps import (
    INCLUDE_RESULT_CONTENT,
    FileSearchResult,
    FileSearchToolCall,
    parse_include,
)


def test_include() -> None:
    assert parse_include([]) is False
    assert parse_include([INCLUDE_RESULT_CONTENT]) is True
    with pytest.raises(InvalidRequest) as caught:
        parse_include([INCLUDE_RESULT_CONTENT, "everything"])
    assert caught.value.message == (
        f"Invalid value: 'everything'. Supported values are: '{INCLUDE_RESULT_CONTENT}'."
    )
    assert (caught.value.param, caught.value.code) == ("include[1]", "invalid_value")


def test_results_carry_content_only_when_given() -> None:
    result = FileSearchResult(file_id="file-1", file_name="a", score=1.0)
    assert result.dump() == {"file_id": "file-1", "file_name": "a", "score": 1.0}


def test_a_running_search_is_empty() -> None:
    assert FileSearchToolCall(id="call_1").dump() == {
        "id": "call_1",
        "type": "file_search",
        "file_search": {},
    }
