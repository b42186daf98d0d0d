"""What people saved from the hosted API: pages of its list endpoints, in its shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

AT = 1_714_000_000
ASSISTANT, THREAD, OTHER = "asst_hosted1", "thread_hosted1", "thread_hosted2"
FILE, LOST, STORE = "file-hosted1", "file-hosted2", "vs_hosted1"
TEXT = b"# Leave\n\nEmployees have thirty days of leave every year.\n"
FUNCTION = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    },
}


def page(*objects: dict[str, Any]) -> dict[str, Any]:
    """A page as it is returned: newest first."""
    ids = [one["id"] for one in objects]
    return {
        "object": "list",
        "data": list(objects),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": False,
    }


def assistant(**fields: Any) -> dict[str, Any]:
    return {
        "id": ASSISTANT,
        "object": "assistant",
        "created_at": AT,
        "name": "Ada",
        "description": None,
        "model": "gpt-4o",
        "instructions": "Be brief.",
        "tools": [{"type": "file_search", "file_search": {"ranking_options": None}}, FUNCTION],
        "top_p": 1.0,
        "temperature": 1.0,
        "reasoning_effort": None,
        "tool_resources": {"file_search": {"vector_store_ids": [STORE]}},
        "metadata": {},
        "response_format": "auto",
        "owner": "org-1",
        **fields,
    }


def message(number: int, role: str, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"msg_hosted{number}",
        "object": "thread.message",
        "created_at": AT + number,
        "assistant_id": None,
        "thread_id": THREAD,
        "run_id": None,
        "role": role,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "attachments": [],
        "metadata": {},
        **fields,
    }


def answer(number: int, text: str, **fields: Any) -> dict[str, Any]:
    run = {"assistant_id": ASSISTANT, "run_id": "run_hosted1"}
    return message(number, "assistant", text, **{**run, **fields})


def run(**fields: Any) -> dict[str, Any]:
    return {
        "id": "run_hosted1",
        "object": "thread.run",
        "created_at": AT + 1,
        "assistant_id": ASSISTANT,
        "thread_id": THREAD,
        "status": "completed",
        "started_at": AT + 1,
        "expires_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": AT + 4,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o-2024-08-06",
        "instructions": None,
        "tools": [FUNCTION],
        "tool_resources": {},
        "metadata": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "reasoning_effort": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 110,
            "prompt_token_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        **fields,
    }


def step(number: int, details: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"step_hosted{number}",
        "object": "thread.run.step",
        "created_at": AT + 1 + number,
        "run_id": "run_hosted1",
        "assistant_id": ASSISTANT,
        "thread_id": THREAD,
        "type": details["type"],
        "status": "completed",
        "cancelled_at": None,
        "completed_at": AT + 2 + number,
        "expires_at": None,
        "expired_at": None,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
        **fields,
    }


CALLS = {
    "type": "tool_calls",
    "tool_calls": [
        {
            "id": "call_hosted1",
            "type": "function",
            "function": {
                "name": "get_weather",
                "arguments": '{"city": "Paris"}',
                "output": "sunny",
            },
        }
    ],
}
SEARCHED = {
    "type": "tool_calls",
    "tool_calls": [
        {
            "id": "call_hosted2",
            "type": "file_search",
            "file_search": {
                "ranking_options": {"ranker": "default_2024_11_15", "score_threshold": 0.0},
                "results": [{"file_id": FILE, "file_name": "handbook.md", "score": 0.7}],
            },
        }
    ],
}
SAID = {"type": "message_creation", "message_creation": {"message_id": "msg_hosted3"}}
CITED = {
    "type": "file_citation",
    "text": "【4:0†handbook.md】",
    "start_index": 11,
    "end_index": 28,
    "file_citation": {"file_id": LOST},
}


def file(file_id: str, name: str, size: int) -> dict[str, Any]:
    return {
        "id": file_id,
        "object": "file",
        "bytes": size,
        "created_at": AT,
        "filename": name,
        "purpose": "assistants",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


def store() -> dict[str, Any]:
    return {
        "id": STORE,
        "object": "vector_store",
        "created_at": AT,
        "name": "handbook",
        "usage_bytes": 1000,
        "file_counts": {
            "in_progress": 0,
            "completed": 2,
            "failed": 0,
            "cancelled": 0,
            "total": 2,
        },
        "status": "completed",
        "expires_after": {"anchor": "last_active_at", "days": 7},
        "expires_at": AT + 7 * 86_400,
        "last_active_at": AT,
        "metadata": {},
    }


def store_file(file_id: str, **fields: Any) -> dict[str, Any]:
    static = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
    return {
        "id": file_id,
        "object": "vector_store.file",
        "usage_bytes": 500,
        "created_at": AT,
        "vector_store_id": STORE,
        "status": "completed",
        "last_error": None,
        "chunking_strategy": {"type": "static", "static": static},
        "attributes": {"year": 2024},
        **fields,
    }


def write(folder: Path) -> Path:
    """A dump of everything, arranged as somebody may have arranged it."""
    cited = answer(3, "Sunny days 【4:0†handbook.md】.")
    cited["content"][0]["text"]["annotations"] = [CITED]
    asked = message(
        1,
        "user",
        "What is the weather in Paris?",
        attachments=[{"file_id": FILE, "tools": [{"type": "file_search"}]}],
    )
    thanks = message(5, "user", "Thanks.")
    thread = {
        "id": THREAD,
        "object": "thread",
        "created_at": AT,
        "metadata": {"user": "7"},
        "tool_resources": {},
    }
    other = message(6, "user", "Hello.", thread_id=OTHER)
    parts: dict[str, Any] = {
        "assistants.json": page(assistant()),
        f"threads/{THREAD}.json": thread,
        f"threads/{THREAD}_messages.json": page(thanks, cited, asked),
        "more/messages.json": [other],
        "runs.json": page(run()),
        "steps.json": page(step(3, SAID), step(2, SEARCHED), step(1, CALLS)),
        "stores.json": {"stores": page(store()), "files": page(store_file(LOST), store_file(FILE))},
    }
    for name, value in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    files = [file(FILE, "handbook.md", len(TEXT)), file(LOST, "old.pdf", 12345)]
    (folder / "files.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in files))
    (folder / "contents").mkdir()
    (folder / "contents" / "handbook.md").write_bytes(TEXT)
    return folder
