"""Refuses schemas that no grammar should be made of: bombs, strangers, and what nothing can fit.

Sizes come first and without recursion, so that a bomb is refused before anything walks it. After
that every question is answered once per schema object, so the time is linear in the size of what
was sent, however often it refers to itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from localassist.schemas.phrases import shorten
from localassist.tools.references import References
from localassist.tools.schema import MAX_MESSAGE_CHARACTERS, Path, SchemaProblem, subschemas
from localassist.tools.shortest import Shortest

MAX_DEPTH = 64
MAX_NODES = 10_000
MAX_CHARACTERS = 200_000
# Schemas that one value is held against, and regular expressions among them: what is to hold at
# the same time multiplies in a grammar.
MAX_SCHEMAS_OF_A_VALUE = 2000
MAX_PATTERNS_OF_A_VALUE = 8
MAX_PATTERN_PROPERTIES = 64
# Grammar engines recurse, and a stack overflow ends the process: it came at about 1,500.
MAX_NESTED_SCHEMAS = 600
# Schemas that lead to one another without a step into the value.
MAX_CHAIN = 100
# No value of a schema may need more: it is more than a model writes.
MAX_SHORTEST_CHARACTERS = 20_000

_DIALECTS = tuple(
    f"{scheme}://json-schema.org/{name}/schema"
    for scheme in ("http", "https")
    for name in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
)
_ENDS = (
    ("minimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_ALTERNATIVES = ("anyOf", "oneOf")


def check(schema: Any) -> None:
    """Raise SchemaProblem for a schema that is too large, malformed, refers outside itself, or that
    no value of a bearable length fits."""
    _check_size(schema)
    _check_dialect(schema)
    _check_form(schema)
    references = References(schema)
    weights = _Weights(references)
    for path, node in _nodes(schema):
        _check_identity(path, node)
        _check_ends(path, node)
        weights.check(path, node)
    if references.depth() > MAX_NESTED_SCHEMAS:
        reason = f"references nest more than {MAX_NESTED_SCHEMAS} schemas in one another"
        raise SchemaProblem((), "$ref", reason)
    _check_patterns(schema)
    shortest = Shortest(schema, references)
    for path, node in _values(schema):
        shortest.check(path, node, MAX_SHORTEST_CHARACTERS)


def _check_size(schema: Any) -> None:
    nodes = characters = 0
    stack: list[tuple[Path, Any]] = [((), schema)]
    while stack:
        path, value = stack.pop()
        nodes += 1
        keyword = str(path[-1]) if path else None
        if isinstance(value, str):
            characters += _length(value, path)
        elif isinstance(value, Mapping):
            characters += sum(_length(key, path) for key in value)
            stack += [((*path, key), child) for key, child in value.items()]
            _check_reference(path, value)
        elif isinstance(value, list):
            stack += [((*path, index), child) for index, child in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise SchemaProblem(path[:-1], keyword, f"{value} is not a number of JSON")
        if len(path) > MAX_DEPTH:
            raise SchemaProblem(path[:8], None, f"nested more than {MAX_DEPTH} levels deep")
        if nodes > MAX_NODES or characters > MAX_CHARACTERS or len(stack) > MAX_NODES:
            raise SchemaProblem(
                (),
                None,
                f"the schema is too large; {MAX_NODES} values and {MAX_CHARACTERS} characters "
                "are possible",
            )


def _length(text: Any, path: Path) -> int:
    if not isinstance(text, str):
        raise SchemaProblem(path, None, f"{text!r} is not a name")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SchemaProblem(path, None, "a text holds half of a surrogate pair") from error
    return len(text)


def _check_reference(path: Path, value: Mapping[Any, Any]) -> None:
    for keyword in _REFERENCES:
        reference = value.get(keyword)
        if isinstance(reference, str) and not reference.startswith("#"):
            raise SchemaProblem(path, keyword, "only references inside the schema are possible")


def _check_dialect(schema: Any) -> None:
    dialect = schema.get("$schema", _DIALECTS[-1]) if isinstance(schema, Mapping) else _DIALECTS[-1]
    if not isinstance(dialect, str) or dialect.rstrip("#") not in _DIALECTS:
        raise SchemaProblem((), "$schema", "not one of the drafts 4 to 2020-12 of JSON Schema")


def _check_form(schema: Any) -> None:
    """What the dialect's own schema says of this one."""
    from jsonschema_rs import ValidationError, meta

    try:
        meta.validate(schema)
    except (ValidationError, ValueError) as error:
        raise _problem(error) from error


def _check_patterns(schema: Any) -> None:
    """That finished values can be checked in linear time."""
    from jsonschema_rs import RegexOptions, ValidationError, validator_for

    try:
        validator_for(schema, offline=True, pattern_options=RegexOptions())
    except (ValidationError, ValueError) as error:
        raise _problem(error) from error


def _problem(error: Exception) -> SchemaProblem:
    path = tuple(getattr(error, "instance_path", ()))
    keyword = str(path[-1]) if path else None
    message = getattr(error, "message", str(error))
    if message.endswith('is not a "regex"'):
        message = (
            "not a regular expression that can be enforced: it has a mistake, looks around or "
            "back, or is too large"
        )
    reason = shorten(message, MAX_MESSAGE_CHARACTERS).rstrip(".")
    return SchemaProblem(path[:-1], keyword, reason)


def _nodes(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every schema in this one that is an object."""
    stack = [(path, schema)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Mapping):
            yield path, node
            stack += [((*path, *step), child) for step, child in reversed(list(subschemas(node)))]


def _values(schema: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The schemas of the value itself and of its parts, as far as they must be possible: not the
    branches of conditions and choices, which may exclude something on purpose."""
    stack: list[tuple[Path, Any]] = [((), schema)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Mapping):
            yield path, node
            parts = [
                ((*path, *step), child)
                for step, child in subschemas(node)
                if step[0] in ("properties", "patternProperties", "items", "prefixItems")
                or step == ("additionalProperties",)
            ]
            stack += reversed(parts)


def _check_identity(path: Path, node: Mapping[str, Any]) -> None:
    if path and isinstance(node.get("$id"), str):
        raise SchemaProblem(path, "$id", "only the whole schema may have an identifier")


def _check_ends(path: Path, node: Mapping[str, Any]) -> None:
    """Bounds that exclude each other, and names that are required but not possible."""
    for low, high in _ENDS:
        least, most = node.get(low), node.get(high)
        if isinstance(least, bool) or isinstance(most, bool):
            continue  # draft 4
        if least is None or most is None:
            continue
        if least > most or (least == most and (low + high).count("exclusive")):
            raise SchemaProblem(path, low, f"no value fits: {low} {least}, {high} {most}")
    if node.get("enum") == []:
        raise SchemaProblem(path, "enum", "no value fits: the list is empty")
    lowest = node.get("minimum", 0)
    if node.get("type") == "integer" and lowest > 2**63 - 1:
        raise SchemaProblem(path, "minimum", "integers of more than 64 bits are not possible")
    if len(node.get("patternProperties", ())) > MAX_PATTERN_PROPERTIES:
        reason = f"at most {MAX_PATTERN_PROPERTIES} patterns are possible"
        raise SchemaProblem(path, "patternProperties", reason)
    is_closed = node.get("additionalProperties") is False and "patternProperties" not in node
    for name in node.get("required") or () if is_closed else ():
        if isinstance(name, str) and name not in node.get("properties", {}):
            reason = f"{json.dumps(name)} is required, but no property of the closed object"
            raise SchemaProblem(path, "required", reason)


class _Weights:
    """What one value is held against at the same time, references followed."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._found: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def check(self, path: Path, node: Mapping[str, Any]) -> None:
        schemas, patterns = self._weigh(path, node)
        if schemas > MAX_SCHEMAS_OF_A_VALUE:
            keyword = next((key for key in ("$ref", *_IN_PLACE) if key in node), None)
            reason = f"one value would be held against more than {MAX_SCHEMAS_OF_A_VALUE} schemas"
            raise SchemaProblem(path, keyword, reason)
        if patterns > MAX_PATTERNS_OF_A_VALUE:
            keyword = next((key for key in ("allOf", "$ref", "pattern") if key in node), None)
            reason = f"one text can be held against at most {MAX_PATTERNS_OF_A_VALUE} patterns"
            raise SchemaProblem(path, keyword, reason)

    def _weigh(self, path: Path, node: Any) -> tuple[int, int]:
        """Schemas, and patterns among them, that a value of this schema meets."""
        if not isinstance(node, Mapping):
            return 1, 0
        known = self._found.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise SchemaProblem(path, "$ref", "the schema refers to itself without an end")
        if len(self._open) > MAX_CHAIN:
            raise SchemaProblem(path, "$ref", f"a chain of more than {MAX_CHAIN} schemas")
        self._open.add(id(node))
        schemas, patterns = 1, int("pattern" in node) + int("format" in node)
        chosen = 0
        for target in self._references.targets(path, node):
            more, also = self._weigh(path, target)
            schemas, patterns = schemas + more, patterns + also
        for step, child in subschemas(node):
            if step[0] not in _IN_PLACE:
                continue
            more, also = self._weigh((*path, *step), child)
            schemas += more
            if step[0] in _ALTERNATIVES:
                chosen = max(chosen, also)
            else:
                patterns += also
        self._open.remove(id(node))
        # Sums of a bomb grow beyond all measure; enough is enough.
        self._found[id(node)] = min(schemas, 10**9), min(patterns + chosen, 10**9)
        return self._found[id(node)]
