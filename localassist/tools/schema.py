"""JSON Schemas as callers write them, made fit for a grammar: bounded in size, closed, finite.

Pure functions over plain values. Whether a grammar engine can compile the result is asked
elsewhere (``grammar``); what a finished value must satisfy is checked here with jsonschema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend, validator_for
from referencing import Registry

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH = 64
MAX_NODES = 10_000
MAX_CHARACTERS = 200_000

# Bounds for what a schema leaves open, so that a confused model comes to an end.
MAX_STRING_LENGTH = 8192
MAX_ARRAY_ITEMS = 256
MAX_INTEGER = 2**53 - 1

_MAPS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLES = ("items", "additionalItems", "additionalProperties", "then", "else", "contains")
_COMBINATORS = ("anyOf", "oneOf", "allOf", "$ref", "if", "dependentSchemas")


class SchemaProblem(Exception):
    """A schema is refused: ``keyword`` at ``path`` is why."""

    def __init__(self, path: Path, keyword: str | None, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.keyword = keyword
        self.reason = reason


def check(schema: Any) -> None:
    """Raise SchemaProblem for a schema that is too large, malformed, or refers outside itself.

    Sizes come first and without recursion, so that a bomb is refused before anything walks it.
    """
    _check_size(schema)
    validator = validator_for(schema, default=Draft202012Validator)
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        path = tuple(error.absolute_path)
        keyword = str(path[-1]) if path else None
        raise SchemaProblem(path[:-1], keyword, error.message[:200]) from error


def closed(schema: Any, *, is_root: bool = False) -> Any:
    """The schema with objects closed and strings, arrays and integers bounded.

    What the author said stays: an explicit ``additionalProperties`` or bound is not touched, and
    objects composed of several schemas stay open because closing one would refuse the others.
    """
    return _closed(schema, closable=True, is_root=is_root)


def subschemas(schema: Any) -> Iterator[tuple[Path, Any]]:
    """Direct children of a schema, with their paths."""
    if not isinstance(schema, Mapping):
        return
    for keyword in _MAPS:
        children = schema.get(keyword)
        if isinstance(children, Mapping):
            yield from (((keyword, name), child) for name, child in children.items())
    for keyword in _LISTS:
        children = schema.get(keyword)
        if isinstance(children, list):
            yield from (((keyword, index), child) for index, child in enumerate(children))
    for keyword in (*_SINGLES, "not", "if", "propertyNames"):
        child = schema.get(keyword)
        if isinstance(child, Mapping):
            yield (keyword,), child


def value_problem(schema: Mapping[str, Any], text: str) -> str | None:
    """Why this JSON text does not fit the schema, None when it does.

    Regular expressions are left out: grammars enforce those they can express, and Python's matcher
    may take exponential time on the others.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    base = validator_for(schema, default=Draft202012Validator)
    validator = extend(base, {"pattern": _accept, "patternProperties": _accept})
    problem = next(validator(schema, registry=Registry()).iter_errors(value), None)
    if problem is None:
        return None
    where = "".join(f"[{part!r}]" for part in problem.absolute_path)
    return f"value{where}: {problem.message[:200]}"


def _accept(validator: Any, keyword_value: Any, value: Any, schema: Any) -> tuple[()]:
    return ()


def _check_size(schema: Any) -> None:
    nodes = characters = 0
    stack: list[tuple[Path, Any]] = [((), schema)]
    while stack:
        path, value = stack.pop()
        nodes += 1
        keyword = str(path[-1]) if path else None
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, Mapping):
            characters += sum(len(key) for key in value)
            stack += [((*path, key), child) for key, child in value.items()]
            reference = value.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                raise SchemaProblem(path, "$ref", "only references inside the schema are possible")
        elif isinstance(value, list):
            stack += [((*path, index), child) for index, child in enumerate(value)]
        if len(path) > MAX_DEPTH:
            raise SchemaProblem(path[:8], keyword, f"nested more than {MAX_DEPTH} levels deep")
        if nodes > MAX_NODES or characters > MAX_CHARACTERS or len(stack) > MAX_NODES:
            raise SchemaProblem((), None, "the schema is too large")


def _closed(schema: Any, *, closable: bool, is_root: bool = False) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    result = {**schema, **_bounds(schema)}
    # Inside a composition the properties beside it belong to the same object.
    closable_below = "properties" not in schema
    for keyword in _MAPS:
        if isinstance(schema.get(keyword), Mapping):
            result[keyword] = {
                name: _closed(child, closable=keyword != "dependentSchemas")
                for name, child in schema[keyword].items()
            }
    for keyword in _LISTS:
        if isinstance(schema.get(keyword), list):
            below = keyword != "allOf" and (closable_below or keyword not in _COMBINATORS)
            result[keyword] = [_closed(child, closable=below) for child in schema[keyword]]
    for keyword in _SINGLES:
        if isinstance(schema.get(keyword), Mapping):
            below = keyword not in ("then", "else")
            result[keyword] = _closed(schema[keyword], closable=below)
    if closable and _is_closable(schema, is_root):
        result["additionalProperties"] = False
    return result


def _is_closable(schema: Mapping[str, Any], is_root: bool) -> bool:
    if any(keyword in schema for keyword in (*_COMBINATORS, "patternProperties")):
        return False
    if any(keyword in schema for keyword in ("additionalProperties", "unevaluatedProperties")):
        return False
    # Parameters without properties mean no arguments; further down they mean any object.
    return bool(schema.get("properties")) or (is_root and schema.get("type") == "object")


def _bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    """Upper bounds for a type that states none of its own."""
    kind = schema.get("type")
    if any(keyword in schema for keyword in ("enum", "const", "$ref")):
        return {}
    if kind == "string" and not any(key in schema for key in ("maxLength", "pattern", "format")):
        return {"maxLength": max(MAX_STRING_LENGTH, schema.get("minLength", 0))}
    if kind == "array" and "maxItems" not in schema:
        return {"maxItems": max(MAX_ARRAY_ITEMS, schema.get("minItems", 0))}
    if kind == "integer":
        return _integer_bounds(schema)
    return {}


def _integer_bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    bounds: dict[str, int] = {}
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and (high is None or high > -MAX_INTEGER):
        bounds["minimum"] = -MAX_INTEGER
    if high is None and (low is None or low < MAX_INTEGER):
        bounds["maximum"] = MAX_INTEGER
    return bounds
