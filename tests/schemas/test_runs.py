from __future__ import annotations

import json

from localassist.core import Usage
from localassist.schemas.runs import Run, RunUsage

# A run as the hosted API shows it, and the ids v1 needs.
FRESH = json.loads(
    """{"id":"run_1","object":"thread.run","created_at":1714853353,"thread_id":"thread_1",
    "assistant_id":"asst_1","status":"queued","required_action":null,"last_error":null,
    "expires_at":1714853953,"started_at":null,"cancelled_at":null,"failed_at":null,
    "completed_at":null,"incomplete_details":null,"model":"m","instructions":"","tools":[],
    "tool_resources":{},"metadata":{},"usage":null,"temperature":1.0,"top_p":1.0,
    "max_prompt_tokens":null,"max_completion_tokens":null,
    "truncation_strategy":{"type":"auto","last_messages":null},"tool_choice":"auto",
    "parallel_tool_calls":true,"response_format":"auto","reasoning_effort":null,"file_ids":[]}"""
)


def fresh() -> Run:
    return Run(
        id="run_1",
        created_at=1714853353,
        thread_id="thread_1",
        assistant_id="asst_1",
        status="queued",
        expires_at=1714853953,
        model="m",
    )


def test_fresh_run_is_the_contracts_example() -> None:
    assert fresh().dump() == FRESH


def test_context_truncation_appears_only_when_recorded() -> None:
    recorded = fresh().model_copy(update={"context_truncation": {"dropped_messages": 0}})
    assert recorded.dump()["context_truncation"] == {"dropped_messages": 0}
    explicit = fresh().model_copy(update={"context_truncation": None})
    assert "context_truncation" not in explicit.dump()


def test_usage_of_a_generation() -> None:
    usage = RunUsage.of(Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=0))
    assert usage.dump() == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_token_details": {"cached_tokens": 0},
    }
    bare = RunUsage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    assert "prompt_token_details" not in bare.dump()
