"""The parameters of every endpoint in the published descriptions.

``localassist/server/published.json`` is made of this, by ``python -m tests.docs_pages``: the
descriptions themselves are not shipped, and the names of what they describe are all that
``localassist compat`` needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.published import FILES, Json, Version, raw_description

PUBLISHED = Path(__file__).parents[1] / "localassist" / "server" / "published.json"
DEPTH = 2


def resolve(document: Json, schema: Json) -> Json:
    """A schema without references at its top. What stands beside a reference is kept."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**document["components"]["schemas"][name], **beside}
    return schema


def branches(document: Json, schema: Json) -> list[Json]:
    """The schemas a value may fit: members of unions, and parts that all hold as one schema."""
    schema = resolve(document, schema)
    members = schema.get("anyOf") or schema.get("oneOf")
    if members and "properties" not in schema:
        return [branch for member in members for branch in branches(document, member)]
    if "allOf" not in schema:
        return [schema]
    joined: Json = {"type": "object", "properties": {}, "required": []}
    for part in schema["allOf"]:
        for branch in branches(document, part):
            for name, inner in branch.get("properties", {}).items():
                joined["properties"].setdefault(name, inner)
            joined["required"] += branch.get("required", [])
    return [joined]


def field_names(document: Json, schema: Json, depth: int = DEPTH) -> list[str]:
    """The paths of all fields: ``tools``, ``tools[].function``, ``thread.messages``."""
    return list(dict.fromkeys(_field_names(document, schema, depth)))


def _field_names(document: Json, schema: Json, depth: int) -> Iterator[str]:
    for branch in branches(document, schema):
        if "items" in branch:
            for name in _field_names(document, branch["items"], depth):
                yield name if name.startswith("[]") else f"[].{name}"
        for name, inner in branch.get("properties", {}).items():
            yield name
            if depth > 1:
                for below in _field_names(document, inner, depth - 1):
                    yield f"{name}{below}" if below.startswith("[]") else f"{name}.{below}"


def parameters(document: Json, operation: Json) -> dict[str, list[str]]:
    """Names by the place where they travel: ``query``, ``form``, ``body``."""
    found: dict[str, list[str]] = {}
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "path":
            found.setdefault(parameter["in"], []).append(parameter["name"])
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        names = field_names(document, content["schema"])
        if media_type == "application/json":
            found["body"] = names
        else:
            found["form"] = form_names(names)
    return found


def form_names(names: list[str]) -> list[str]:
    """Objects travel in forms as one part for each of their fields."""
    parents = {name.partition(".")[0] for name in names if "." in name}
    spelled = [name for name in names if name not in parents]
    return [f"{name.replace('.', '[', 1)}]" if "." in name else name for name in spelled]


def endpoints(version: Version) -> dict[str, Any]:
    """The operations of a description by their names, such as ``GET /files/{file_id}``."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in raw_description(version)["paths"].items()
        for method, operation in operations.items()
    }


def published() -> str:
    """The text of the data file."""
    lines = []
    for version in FILES:
        document = raw_description(version)
        rows = [
            f"{json.dumps(name)}: {json.dumps(parameters(document, operation))}"
            for name, operation in endpoints(version).items()
        ]
        lines.append(f'"{version}": {{\n' + ",\n".join(rows) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
