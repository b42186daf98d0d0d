"""What every endpoint reads: the class of its body, the names it looks up in query string, form and
headers. ``tests/conformance/test_inputs.py`` holds each entry against the running app.
"""

from __future__ import annotations

from dataclasses import dataclass

from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from localassist.schemas.base import Body
from localassist.schemas.chat import ChatCompletionCreate
from localassist.schemas.embeddings import EmbeddingCreate
from localassist.schemas.messages import MessageCreate, MessageUpdate
from localassist.schemas.runs import RunCreate, RunUpdate, SubmitToolOutputs, ThreadAndRunCreate
from localassist.schemas.threads import ThreadCreate, ThreadUpdate
from localassist.schemas.tool_explanations import ToolsExplain
from localassist.schemas.uploads import UploadComplete, UploadCreate
from localassist.schemas.v1_files import AssistantFileCreate
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    StoreFileUpdate,
    VectorStoreCreate,
    VectorStoreSearch,
    VectorStoreUpdate,
)
from localassist.server.uploads import FILE_FIELDS, PART_FIELDS


@dataclass(frozen=True)
class Inputs:
    """What one endpoint reads besides its path and what all read (``Authorization`` …)."""

    body: type[Body] | None = None
    query: tuple[str, ...] = ()
    form: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


_PAGE = ("limit", "order", "after", "before")
_INCLUDE = ("include[]", "include")

_THREAD = "/threads/{thread_id}"
_MESSAGE = _THREAD + "/messages/{message_id}"
_RUN = _THREAD + "/runs/{run_id}"
_STORE = "/vector_stores/{vector_store_id}"
_BATCH = _STORE + "/file_batches/{batch_id}"

# Endpoints that are not here read nothing but their path.
INPUTS = {
    "POST /assistants": Inputs(AssistantCreate),
    "GET /assistants": Inputs(query=_PAGE),
    "POST /assistants/{assistant_id}": Inputs(AssistantUpdate),
    "POST /assistants/{assistant_id}/files": Inputs(AssistantFileCreate),
    "GET /assistants/{assistant_id}/files": Inputs(query=_PAGE),
    "POST /threads": Inputs(ThreadCreate),
    "GET /threads": Inputs(query=_PAGE),
    f"POST {_THREAD}": Inputs(ThreadUpdate),
    f"POST {_THREAD}/messages": Inputs(MessageCreate),
    f"GET {_THREAD}/messages": Inputs(query=(*_PAGE, "run_id")),
    f"POST {_MESSAGE}": Inputs(MessageUpdate),
    f"GET {_MESSAGE}/files": Inputs(query=_PAGE),
    "POST /threads/runs": Inputs(ThreadAndRunCreate, _INCLUDE),
    f"POST {_THREAD}/runs": Inputs(RunCreate, _INCLUDE),
    f"GET {_THREAD}/runs": Inputs(query=_PAGE),
    f"POST {_RUN}": Inputs(RunUpdate),
    f"POST {_RUN}/submit_tool_outputs": Inputs(SubmitToolOutputs, _INCLUDE),
    f"GET {_RUN}/stream": Inputs(query=("starting_after", *_INCLUDE), headers=("Last-Event-ID",)),
    f"GET {_RUN}/steps": Inputs(query=(*_PAGE, *_INCLUDE)),
    f"GET {_RUN}/steps/{{step_id}}": Inputs(query=_INCLUDE),
    "POST /files": Inputs(form=FILE_FIELDS),
    "GET /files": Inputs(query=(*_PAGE, "purpose")),
    "POST /uploads": Inputs(UploadCreate),
    "POST /uploads/{upload_id}/parts": Inputs(form=PART_FIELDS),
    "POST /uploads/{upload_id}/complete": Inputs(UploadComplete),
    "POST /vector_stores": Inputs(VectorStoreCreate),
    "GET /vector_stores": Inputs(query=_PAGE),
    f"POST {_STORE}": Inputs(VectorStoreUpdate),
    f"POST {_STORE}/search": Inputs(VectorStoreSearch),
    f"POST {_STORE}/search/explain": Inputs(VectorStoreSearch),
    f"POST {_STORE}/files": Inputs(StoreFileCreate),
    f"GET {_STORE}/files": Inputs(query=(*_PAGE, "filter")),
    f"POST {_STORE}/files/{{file_id}}": Inputs(StoreFileUpdate),
    f"POST {_STORE}/file_batches": Inputs(FileBatchCreate),
    f"GET {_BATCH}/files": Inputs(query=(*_PAGE, "filter")),
    "POST /chat/completions": Inputs(ChatCompletionCreate),
    "POST /embeddings": Inputs(EmbeddingCreate),
    "POST /tools/explain": Inputs(ToolsExplain),
}
