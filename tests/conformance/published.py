"""Answers and stream events against the published descriptions in ``tests/contract``.

Both descriptions differ from the hosted API in places that are known. ``DEFECTS`` holds what
belongs there, and nothing else is forgiven.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import jsonschema_rs

from localassist.schemas.files import FilePurpose

Version = Literal["v1", "v2"]
Json = dict[str, Any]
CONTRACT = Path(__file__).parents[1] / "contract"
FILES: dict[Version, str] = {"v2": "openapi-assistants.json", "v1": "openapi-assistants-v1.json"}
OR_NULL: Json = {"anyOf": [{}, {"type": "null"}]}  # around what is described


@dataclass(frozen=True)
class Defect:
    """Where a description is wrong: a schema or a pattern of names, a path inside of it, what
    belongs there, and what says so."""

    version: Version
    schema: str
    path: str
    instead: Any
    why: str


_SERVER = "what the hosted API sends"
_PURPOSES = [*get_args(FilePurpose)]
DEFECTS = (
    Defect(
        "v2",
        "VectorStoreFileBatchObject",
        "properties/object/enum",
        ["vector_store.file_batch"],
        _SERVER,
    ),
    Defect("v2", "OpenAIFile", "properties/status_details", OR_NULL, _SERVER),
    Defect("v1", "OpenAIFile", "properties/status_details", OR_NULL, _SERVER),
    *(
        Defect(version, "OpenAIFile", "properties/purpose/enum", _PURPOSES, "some came later")
        for version in FILES
    ),
    Defect("v2", "OpenAIFile", "properties/expires_at", OR_NULL, "null where nothing expires"),
    Defect("v2", "VectorStoreObject", "properties/expires_after", OR_NULL, "null after an update"),
    *(
        Defect(version, "List*Response", f"properties/{end}_id", OR_NULL, "null for empty lists")
        for version in FILES
        for end in ("first", "last")
    ),
    *(
        Defect("v1", f"List{kind}FilesResponse", "required", ["object", "data"], "data, not items")
        for kind in ("Assistant", "Message")
    ),
    Defect(
        "v2",
        "Embedding",
        "properties/embedding",
        {"type": ["array", "string"], "items": {"type": "number"}},
        "text with encoding_format base64",
    ),
    Defect(
        "v2",
        "ThreadObject",
        "properties/tool_resources/anyOf/0/properties/code_interpreter/properties/file_ids/maxItems",
        1_000_000,
        "a limit of bodies; messages add more files than one can list",
    ),
    Defect(
        "v2",
        "VectorStoreSearchResultItem",
        "additionalProperties",
        {"type": "string"},
        "ours: place",
    ),
)


def raw_description(version: Version) -> Json:
    """A description as it was published."""
    document: Json = json.loads((CONTRACT / FILES[version]).read_text("utf-8"))
    return document


@cache
def description(version: Version) -> Json:
    """A description without its known defects."""
    document = raw_description(version)
    schemas = document["components"]["schemas"]
    for defect in DEFECTS:
        if defect.version == version:
            names = [name for name in schemas if fnmatchcase(name, defect.schema)]
            changes = [_put(schemas[name], defect) for name in names]
            assert any(changes), f"nothing to mend: {defect}"
    return document


def _put(schema: Json, defect: Defect) -> bool:
    """Mend one schema. False where it has nothing to mend."""
    *parents, last = defect.path.split("/")
    node: Any = schema
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node.get(step)
        if node is None:
            return False
    if last not in node or node[last] == defect.instead:
        return False
    was = node[last]
    node[last] = {"anyOf": [was, {"type": "null"}]} if defect.instead is OR_NULL else defect.instead
    return True


@cache
def _patterns(version: Version) -> list[tuple[str, re.Pattern[str]]]:
    """Templates of paths and what they match, those with the fewest places first."""
    templates = sorted(description(version)["paths"], key=lambda path: path.count("{"))
    return [(path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for path in templates]


def operation(version: Version, method: str, path: str) -> Json | None:
    """What a description says of a request, None where it has no such endpoint."""
    for template, pattern in _patterns(version):
        operations = description(version)["paths"][template]
        if pattern.fullmatch(path) and method.lower() in operations:
            found: Json = operations[method.lower()]
            return found
    return None


@cache
def _validator(version: Version, schema: str) -> Any:
    components = description(version)["components"]
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": components})


def check_schema(version: Version, schema: Json, body: Any) -> None:
    """Fail unless ``body`` fits a schema of the description."""
    errors = [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in _validator(version, json.dumps(schema)).iter_errors(body)
    ]
    assert not errors, "\n".join(errors)


def check_answer(version: Version, method: str, path: str, body: Any) -> None:
    """Fail unless ``body`` is what the description promises of a request. What only the other
    version has is served, too; what neither has is ours."""
    for known in (version, *(other for other in FILES if other != version)):
        found = operation(known, method, path)
        if found is not None:
            content = found["responses"]["200"]["content"]["application/json"]
            check_schema(known, content["schema"], body)
            return


def check_event(version: Version, name: str, data: Any) -> None:
    """The same for an event of a run's stream. Version 1 describes no events, only the objects that
    some of them carry."""
    if version == "v2":
        check_schema("v2", _named("AssistantStreamEvent"), {"event": name, "data": data})
    elif data["object"] in _V1_OBJECTS:
        check_schema("v1", _named(_V1_OBJECTS[data["object"]]), data)


def check_chunk(chunk: Any) -> None:
    """The same for a chunk of a chat completion."""
    check_schema("v2", _named("CreateChatCompletionStreamResponse"), chunk)


_V1_OBJECTS = {
    "thread": "ThreadObject",
    "thread.run": "RunObject",
    "thread.run.step": "RunStepObject",
    "thread.message": "MessageObject",
}


def _named(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
