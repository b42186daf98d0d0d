"""One sample of every object the API returns, with every optional part filled in."""

from __future__ import annotations

import pytest

from localassist.core import Usage
from localassist.schemas import chat, embeddings, run_steps
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import WireModel
from localassist.schemas.files import File
from localassist.schemas.messages import (
    Attachment,
    CitedFile,
    FileCitation,
    FilePath,
    FileReference,
    ImageFilePart,
    ImageUrlPart,
    Message,
    RefusalContent,
    Text,
    TextContent,
)
from localassist.schemas.models import Model
from localassist.schemas.runs import Run, RunUsage
from localassist.schemas.threads import Thread
from localassist.schemas.tools import AttachedResources
from localassist.schemas.uploads import Upload, UploadPart
from localassist.schemas.vector_stores import (
    ExpiresAfter,
    FileBatch,
    FileCounts,
    SearchResult,
    StoreFile,
    StoreFileError,
    TextChunk,
    VectorStore,
)

TOOLS = [
    {"type": "code_interpreter"},
    {
        "type": "file_search",
        "file_search": {
            "max_num_results": 5,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.0},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            "strict": True,
        },
    },
]
RESOURCES = AttachedResources.model_validate(
    {"code_interpreter": {"file_ids": ["file-1"]}, "file_search": {"vector_store_ids": ["vs_1"]}}
)
JSON_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
}
MARK = "【0:0†source】"
FILE = File(id="file-1", bytes=3, created_at=1, filename="a.txt", purpose="assistants")
USAGE = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4)


@pytest.fixture
def assistant() -> Assistant:
    return Assistant.model_validate(
        {
            "id": "asst_1",
            "created_at": 1,
            "model": "m",
            "tools": TOOLS,
            "tool_resources": RESOURCES,
            "response_format": JSON_FORMAT,
            "file_ids": ["file-1"],
        }
    )


@pytest.fixture
def thread() -> Thread:
    return Thread(id="thread_1", created_at=1, tool_resources=RESOURCES)


@pytest.fixture
def message() -> Message:
    value = f"See {MARK} and sandbox:/mnt/data/a.csv"
    citation = FileCitation(
        text=MARK, start_index=4, end_index=16, file_citation=CitedFile(file_id="file-1")
    )
    path = FilePath(
        text="sandbox:/mnt/data/a.csv",
        start_index=21,
        end_index=44,
        file_path=FileReference(file_id="file-2"),
    )
    return Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="assistant",
        completed_at=2,
        content=[
            ImageFilePart.model_validate(
                {"type": "image_file", "image_file": {"file_id": "file-3", "detail": "low"}}
            ),
            TextContent(text=Text(value=value, annotations=[citation, path])),
            ImageUrlPart.model_validate({"type": "image_url", "image_url": {"url": "http://x/y"}}),
            RefusalContent(refusal="No."),
        ],
        assistant_id="asst_1",
        run_id="run_1",
        attachments=[
            Attachment.model_validate({"file_id": "file-1", "tools": [{"type": "file_search"}]})
        ],
        file_ids=["file-1"],
    )


@pytest.fixture
def run() -> Run:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    return Run.model_validate(
        {
            "id": "run_1",
            "created_at": 1,
            "thread_id": "thread_1",
            "assistant_id": "asst_1",
            "status": "requires_action",
            "required_action": {
                "type": "submit_tool_outputs",
                "submit_tool_outputs": {"tool_calls": [call]},
            },
            "expires_at": 601,
            "started_at": 1,
            "model": "m",
            "tools": TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "usage": RunUsage.of(USAGE),
            "response_format": JSON_FORMAT,
            "file_ids": ["file-1"],
        }
    )


@pytest.fixture
def step() -> run_steps.RunStep:
    return run_steps.RunStep(
        id="step_1",
        created_at=1,
        run_id="run_1",
        assistant_id="asst_1",
        thread_id="thread_1",
        type="tool_calls",
        status="completed",
        completed_at=2,
        usage=RunUsage.of(USAGE),
        step_details=run_steps.ToolCallsDetails(
            tool_calls=[
                run_steps.CodeInterpreterToolCall(
                    id="call_1",
                    code_interpreter=run_steps.CodeExecution(
                        input="1 + 1",
                        outputs=[
                            run_steps.LogsOutput(logs="2"),
                            run_steps.ImageOutput(image=run_steps.OutputImage(file_id="file-1")),
                        ],
                    ),
                ),
                run_steps.FileSearchToolCall(
                    id="call_2",
                    file_search=run_steps.FileSearchOutcome(
                        ranking_options=run_steps.StepRankingOptions(),
                        results=[
                            run_steps.FileSearchResult(
                                file_id="file-1",
                                file_name="a.txt",
                                score=0.5,
                                content=[run_steps.ResultContent(text="passage")],
                            )
                        ],
                    ),
                ),
                run_steps.FunctionToolCall(
                    id="call_3",
                    function=run_steps.FunctionOutcome(name="weather", arguments="{}"),
                ),
            ]
        ),
    )


@pytest.fixture
def message_step() -> run_steps.RunStep:
    return run_steps.RunStep(
        id="step_2",
        created_at=1,
        run_id="run_1",
        assistant_id="asst_1",
        thread_id="thread_1",
        type="message_creation",
        step_details=run_steps.MessageCreationDetails(
            message_creation=run_steps.CreatedMessage(message_id="msg_1")
        ),
    )


@pytest.fixture
def completion() -> chat.ChatCompletion:
    call = chat.ChatToolCall(
        id="call_1", function=chat.ChatFunctionCall(name="weather", arguments="{}")
    )
    return chat.ChatCompletion(
        id="chatcmpl-1",
        created=1,
        model="m",
        choices=[
            chat.ChatChoice(message=chat.ChatAnswer(tool_calls=[call]), finish_reason="tool_calls"),
        ],
        usage=chat.CompletionUsage.of(USAGE),
        system_fingerprint="fp_1",
    )


@pytest.fixture
def samples(
    assistant: Assistant,
    thread: Thread,
    message: Message,
    run: Run,
    step: run_steps.RunStep,
    message_step: run_steps.RunStep,
    completion: chat.ChatCompletion,
) -> list[WireModel]:
    return [
        assistant,
        thread,
        message,
        run,
        step,
        message_step,
        completion,
        FILE,
        VectorStore(
            id="vs_1",
            created_at=1,
            name="n",
            description="d",
            usage_bytes=1,
            file_counts=FileCounts(completed=1, total=1),
            status="completed",
            expires_after=ExpiresAfter(anchor="last_active_at", days=1),
            expires_at=86_401,
            last_active_at=1,
        ),
        StoreFile(
            id="file-1",
            created_at=1,
            vector_store_id="vs_1",
            usage_bytes=0,
            status="failed",
            last_error=StoreFileError(code="invalid_file", message="No text."),
            attributes={"a": 1.5, "b": True, "c": "d"},
        ),
        FileBatch(
            id="vsfb_1",
            created_at=1,
            vector_store_id="vs_1",
            status="cancelled",
            file_counts=FileCounts(cancelled=1, total=1),
        ),
        SearchResult(
            file_id="file-1",
            filename="a.pdf",
            score=0.5,
            attributes={"a": 1.5},
            content=[TextChunk(text="passage")],
            place="page 1",
        ),
        Upload(
            id="upload_1",
            bytes=3,
            created_at=1,
            expires_at=3601,
            filename="a.txt",
            purpose="assistants",
            status="completed",
            file=FILE,
        ),
        UploadPart(id="part_1", created_at=1, upload_id="upload_1"),
        Model(id="m", created=1),
        embeddings.EmbeddingList(
            model="m",
            data=[embeddings.Embedding.of(0, [0.5, -1.0], "float")],
            usage=embeddings.EmbeddingUsage(prompt_tokens=1, total_tokens=1),
        ),
    ]
