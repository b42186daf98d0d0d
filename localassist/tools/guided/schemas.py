"""Small questions about a slot's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions

ANNOTATIONS = frozenset({"type", "description", "title", "default", "examples", "x-guidance"})
# Limits that a copied value may break: it is checked and, if it does, decoded again.
LIMITS = frozenset({"minLength", "maxLength", "minimum", "maximum"})
LONGEST_LIST = 8
_LONGEST_TEXT = 200


def simplified(schema: Any) -> Mapping[str, Any]:
    """A nullable schema as its non-null side: whoever gives a value gives a real one. ``true`` as
    the schema without demands that it is."""
    if not isinstance(schema, Mapping):
        return {}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        real = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": real[0]} if len(real) == 1 else schema
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        real = [branch for branch in branches if branch != {"type": "null"}]
        if len(real) == 1 and isinstance(real[0], Mapping):
            outer = {key: value for key, value in schema.items() if key != "anyOf"}
            return simplified({**outer, **real[0]})
    return schema


def shortened(schema: Any) -> Any:
    """The schema with short limits on open strings and arrays: a small model rambles in them."""
    if isinstance(schema, list):
        return [shortened(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "enum" in schema or "const" in schema:
        return schema
    short = {key: shortened(value) for key, value in schema.items()}
    if schema.get("type") == "string" and not {"pattern", "format"} & set(schema):
        longest = max(schema.get("minLength", 0), _LONGEST_TEXT)
        short["maxLength"] = min(schema.get("maxLength", longest), longest)
    if schema.get("type") == "array":
        most = max(schema.get("minItems", 0), LONGEST_LIST)
        short["maxItems"] = min(schema.get("maxItems", most), most)
    return short


def is_number(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") in ("integer", "number") and "enum" not in schema


def is_copyable(schema: Mapping[str, Any]) -> bool:
    """A stretch of the question is likely to be a value of it."""
    return set(schema) <= ANNOTATIONS | LIMITS


def is_record(schema: Mapping[str, Any]) -> bool:
    """An object whose properties are known."""
    known = ANNOTATIONS | {"properties", "required", "additionalProperties"}
    properties = schema.get("properties")
    return schema.get("type") == "object" and bool(properties) and set(schema) <= known


def description(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", ""))


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """The value satisfies the schema. A schema with references, which may lead out of it, is
    satisfied by nothing here."""
    plain = json.dumps({key: schema[key] for key in schema if key != "x-guidance"}, sort_keys=True)
    if '"$ref"' in plain or '"$dynamicRef"' in plain:
        return False
    return _validator(plain).is_valid(value)


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Draft202012Validator:
    # A linear engine for patterns, or a schema could keep us busy for ever.
    return Draft202012Validator(json.loads(schema), offline=True, pattern_options=RegexOptions())
