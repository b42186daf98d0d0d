"""Our objects are the official SDK's objects: they validate as its models and have its fields."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from openai.types import (
    CreateEmbeddingResponse,
    EmbeddingCreateParams,
    FileObject,
    VectorStoreSearchResponse,
    upload_complete_params,
    upload_create_params,
    vector_store_create_params,
    vector_store_search_params,
    vector_store_update_params,
    vector_stores,
)
from openai.types import Model as SDKModel
from openai.types import Upload as SDKUpload
from openai.types import VectorStore as SDKVectorStore
from openai.types import beta as sdk
from openai.types.beta import threads as sdk_threads
from openai.types.beta.thread_create_and_run_params import ThreadCreateAndRunParamsBase
from openai.types.beta.threads import run_create_params, run_submit_tool_outputs_params
from openai.types.beta.threads import runs as sdk_runs
from openai.types.chat import ChatCompletion as SDKCompletion
from openai.types.chat import completion_create_params
from openai.types.uploads import UploadPart as SDKUploadPart
from openai.types.vector_stores import (
    file_batch_create_params,
    file_create_params,
    file_update_params,
)
from pydantic import BaseModel, TypeAdapter

from localassist.schemas import assistants, chat, embeddings, messages, runs, threads, uploads
from localassist.schemas import vector_stores as stores
from localassist.schemas.base import Body, WireModel

SDK_MODELS: dict[str, type[BaseModel]] = {
    "Assistant": sdk.Assistant,
    "Thread": sdk.Thread,
    "Message": sdk_threads.Message,
    "Run": sdk_threads.Run,
    "RunStep": sdk_runs.RunStep,
    "ChatCompletion": SDKCompletion,
    "File": FileObject,
    "Model": SDKModel,
    "EmbeddingList": CreateEmbeddingResponse,
    "VectorStore": SDKVectorStore,
    "StoreFile": vector_stores.VectorStoreFile,
    "FileBatch": vector_stores.VectorStoreFileBatch,
    "SearchResult": VectorStoreSearchResponse,
    "Upload": SDKUpload,
    "UploadPart": SDKUploadPart,
}
# Fields the contract asks for beyond the SDK's, and SDK fields of the hosted service alone.
EXTRA = {
    "Assistant": {"reasoning_effort", "file_ids"},
    "Message": {"file_ids"},
    "Run": {"reasoning_effort", "file_ids", "tool_resources"},
    "RunStep": {"expires_at"},
    "VectorStore": {"description"},
    "SearchResult": {"place"},
}
# Constants of which the SDK, like the published description, has others than the hosted API sends.
PUBLISHED = {"FileBatch": {"object": "vector_store.files_batch"}}
HOSTED_ONLY = {"ChatCompletion": {"metadata", "moderation", "service_tier"}}


def test_every_object_validates_as_the_sdks(samples: list[WireModel]) -> None:
    for sample in samples:
        name = type(sample).__name__
        payload = sample.dump() | PUBLISHED.get(name, {})
        TypeAdapter(SDK_MODELS[name]).validate_python(payload, strict=True)


def test_field_sets_are_the_sdks(samples: list[WireModel]) -> None:
    assert {type(sample).__name__ for sample in samples} == set(SDK_MODELS)
    for sample in samples:
        name = type(sample).__name__
        ours = set(sample.dump()) - EXTRA.get(name, set())
        theirs = set(SDK_MODELS[name].model_fields) - HOSTED_ONLY.get(name, set())
        assert ours == theirs, name


def test_unions_resolve_to_the_variant_meant(samples: list[WireModel]) -> None:
    """The SDK accepts unknown variants loosely; read back, each must be the same object."""
    for sample in samples:
        name = type(sample).__name__
        payload = sample.dump() | PUBLISHED.get(name, {})
        read = SDK_MODELS[name].model_validate(payload)
        again = read.model_dump(mode="json", by_alias=True)
        assert _restricted(again, payload) == payload


def _restricted(read: Any, sent: Any) -> Any:
    """``read`` without the nulls the SDK adds for fields that were not sent."""
    if isinstance(sent, dict):
        assert all(read[key] is None for key in read.keys() - sent.keys())
        return {key: _restricted(read[key], value) for key, value in sent.items()}
    if isinstance(sent, list):
        return [_restricted(ours, theirs) for ours, theirs in zip(read, sent, strict=True)]
    return read


def test_objects_survive_being_stored(samples: list[WireModel]) -> None:
    for sample in samples:
        stored = sample.dump()
        assert type(sample).model_validate(stored) == sample
        assert type(sample).model_validate_json(sample.model_dump_json()).dump() == stored


@pytest.mark.parametrize(
    ("body", "params", "elsewhere"),
    [
        (assistants.AssistantCreate, sdk.AssistantCreateParams, set()),
        (assistants.AssistantUpdate, sdk.AssistantUpdateParams, set()),
        (threads.ThreadCreate, sdk.ThreadCreateParams, set()),
        (threads.ThreadUpdate, sdk.ThreadUpdateParams, set()),
        (messages.MessageCreate, sdk_threads.MessageCreateParams, set()),
        (messages.MessageUpdate, sdk_threads.MessageUpdateParams, {"thread_id"}),
        (runs.RunCreate, run_create_params.RunCreateParamsBase, {"include"}),
        (runs.ThreadAndRunCreate, ThreadCreateAndRunParamsBase, set()),
        (runs.RunUpdate, sdk_threads.RunUpdateParams, {"thread_id"}),
        (
            runs.SubmitToolOutputs,
            run_submit_tool_outputs_params.RunSubmitToolOutputsParamsBase,
            {"thread_id"},
        ),
        (embeddings.EmbeddingCreate, EmbeddingCreateParams, set()),
        (chat.ChatCompletionCreate, completion_create_params.CompletionCreateParamsBase, set()),
        (stores.VectorStoreCreate, vector_store_create_params.VectorStoreCreateParams, set()),
        (stores.VectorStoreUpdate, vector_store_update_params.VectorStoreUpdateParams, set()),
        (stores.VectorStoreSearch, vector_store_search_params.VectorStoreSearchParams, set()),
        (stores.StoreFileCreate, file_create_params.FileCreateParams, set()),
        (stores.StoreFileUpdate, file_update_params.FileUpdateParams, {"vector_store_id"}),
        (stores.FileBatchCreate, file_batch_create_params.FileBatchCreateParams, set()),
        (uploads.UploadCreate, upload_create_params.UploadCreateParams, set()),
        (uploads.UploadComplete, upload_complete_params.UploadCompleteParams, set()),
    ],
)
def test_bodies_accept_every_field_the_sdk_can_send(
    body: type[Body], params: type, elsewhere: set[str]
) -> None:
    """``elsewhere``: SDK arguments that travel in the path or the query string."""
    theirs = set(get_type_hints(params)) - elsewhere
    # The streaming variants of these TypedDicts add ``stream``.
    assert set(body.model_fields) - theirs <= {"stream", "file_ids", "description"}
    assert theirs <= set(body.model_fields)
