"""JSON Schemas as callers write them, made fit for a grammar: bounded in size and closed.

Pure functions over plain values. ``soundness`` refuses what no grammar should be made of,
``grammar`` asks a grammar engine; what a finished value must satisfy is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from localassist.schemas.phrases import shorten

Path: TypeAlias = tuple[str | int, ...]

# Bounds for what a schema leaves open, so that a confused model comes to an end.
MAX_STRING_LENGTH = 8192
MAX_FORMAT_LENGTH = 2048
MAX_NAME_LENGTH = 256
MAX_ARRAY_ITEMS = 256
MAX_INTEGER = 2**53 - 1
MAX_NUMBER = 10**15
NUMBER_STEP = 1e-9
# Values that may be anything are nested no deeper than this; in arguments, of which a grammar may
# have many, a little less.
MAX_ANY_DEPTH = 5
MAX_ANY_DEPTH_OF_ARGUMENTS = 3

# Integers that llguidance can tell apart at the ends of 64 bits.
_LEAST_INTEGER, _MOST_INTEGER = -(2**63) + 1024, 2**63 - 1

_MAPS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLES = (
    *("items", "additionalItems", "unevaluatedItems", "contains"),
    *("additionalProperties", "unevaluatedProperties", "propertyNames"),
    *("not", "if", "then", "else"),
)
_COMBINATORS = ("anyOf", "oneOf", "allOf", "$ref", "if", "dependentSchemas")
# A schema with one of these says enough by it: its open ends lie elsewhere.
_SETTLED = ("enum", "const", "$ref", "$dynamicRef", "$recursiveRef", "anyOf", "oneOf", "allOf")
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NOTES = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"$comment", "$schema", "$id", "id", "$defs", "definitions", "x-guidance"}
)
MAX_MESSAGE_CHARACTERS = 200  # of what a validator says
_ANY_NAME = "localassist-any-"
# A definition that stays open may show that another one is part of it.
_PASSES = 6
_NAME_PATTERN = f"^(?s:.){{0,{MAX_NAME_LENGTH}}}$"


class SchemaProblem(Exception):
    """A schema is refused: ``keyword`` at ``path`` is why."""

    def __init__(self, path: Path, keyword: str | None, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.keyword = keyword
        self.reason = reason


def subschemas(schema: Any) -> Iterator[tuple[Path, Any]]:
    """Direct children of a schema, with their paths; true and false are schemas too."""
    if not isinstance(schema, Mapping):
        return
    for keyword in (*_MAPS, "dependencies"):
        children = schema.get(keyword)
        if isinstance(children, Mapping):
            for name, child in children.items():
                if isinstance(child, (Mapping, bool)):
                    yield (keyword, name), child
    for keyword in _LISTS:
        children = schema.get(keyword)
        if isinstance(children, list):
            yield from (((keyword, index), child) for index, child in enumerate(children))
    for keyword in _SINGLES:
        child = schema.get(keyword)
        if isinstance(child, (Mapping, bool)):
            yield (keyword,), child


def closed(schema: Any, *, is_root: bool = False, is_counted: bool = True) -> Any:
    """The schema with objects closed, and with strings, arrays, numbers and depth bounded.

    What the author said stays: an explicit ``additionalProperties`` or bound is not loosened, and
    objects composed of several schemas stay open because closing one would refuse the others.
    ``is_root`` means the parameters of a tool. ``is_counted`` false leaves out what not every
    grammar engine can count along: the length of strings with a pattern, and the number of
    properties where some are optional.
    """
    if not isinstance(schema, Mapping):
        return schema
    depth = MAX_ANY_DEPTH_OF_ARGUMENTS if is_root else MAX_ANY_DEPTH
    closing = _Closing(is_counted, depth)
    for _ in range(_PASSES):
        known = len(closing.composed)
        result = closing.close(schema, closable=True, is_root=is_root)
        if len(closing.composed) == known:
            break
    if closing.uses_any and isinstance(result, dict):
        result["$defs"] = {**result.get("$defs", {}), **_any_definitions(depth)}
    return result


def value_problem(schema: Mapping[str, Any], text: str) -> str | None:
    """Why this JSON text does not fit the schema, None when it does.

    Takes linear time also for regular expressions; those that cannot be matched so are left to the
    grammar, which has no others (``soundness``).
    """
    from jsonschema_rs import RegexOptions, ValidationError, validator_for

    try:
        value = json.loads(text)
        validator = validator_for(
            _known(schema), validate_formats=True, offline=True, pattern_options=RegexOptions()
        )
        problem = next(iter(validator.iter_errors(value)), None)
    except ValidationError as error:
        return f"its schema cannot be checked: {shorten(error.message, MAX_MESSAGE_CHARACTERS)}"
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {shorten(str(error), MAX_MESSAGE_CHARACTERS)}"
    if problem is None:
        return None
    where = "".join(f"[{part!r}]" for part in problem.instance_path)
    return f"value{where}: {shorten(problem.message, MAX_MESSAGE_CHARACTERS)}"


def _known(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "x-guidance"}


class _Closing:
    """Passes over a schema; remembers what they came upon: whether any of it may be anything, and
    references to schemas that are part of a larger one, which have to stay open."""

    def __init__(self, is_counted: bool, any_depth: int) -> None:
        self._is_counted = is_counted
        self._any_depth = any_depth
        self.uses_any = False
        self.composed: set[str] = set()

    def close(self, schema: Any, *, closable: bool, is_root: bool = False) -> Any:
        if closable and not is_root and _says_nothing(schema):
            return {**({} if schema is True else schema), "$ref": self._any(self._any_depth)}
        if not isinstance(schema, Mapping):
            return schema
        result = {key: value for key, value in schema.items() if key != "x-guidance"}
        reference = schema.get("$ref")
        if isinstance(reference, str) and (not closable or "properties" in schema):
            self.composed.add(reference)
        # Without a type and inside a composition, only the whole says what there is to bound.
        is_settled = any(keyword in schema for keyword in _SETTLED)
        if not is_settled and (closable or "type" in schema):
            result.update(self._bounds(schema))
        if not self._is_counted and not schema.get("properties", {}).keys() <= set(
            schema.get("required", ())
        ):
            result.pop("minProperties", None)
            result.pop("maxProperties", None)
        if closable and _is_closable(schema, is_root):
            result.update(_with_required(schema), additionalProperties=False)
        self._close_children(schema, result)
        if closable and not is_root:
            self._bound_contents(schema, result)
        return result

    def _close_children(self, schema: Mapping[str, Any], result: dict[str, Any]) -> None:
        # Inside a composition the properties beside it belong to the same object.
        closable_below = "properties" not in schema
        for keyword in _MAPS:
            if isinstance(result.get(keyword), Mapping):
                below = keyword != "dependentSchemas"
                result[keyword] = {
                    name: self.close(
                        child, closable=below and f"#/{keyword}/{name}" not in self.composed
                    )
                    for name, child in result[keyword].items()
                }
        for keyword in _LISTS:
            if isinstance(schema.get(keyword), list):
                below = keyword != "allOf" and (closable_below or keyword not in _COMBINATORS)
                result[keyword] = [self.close(child, closable=below) for child in schema[keyword]]
        for keyword in ("items", "additionalItems", "additionalProperties"):
            if isinstance(schema.get(keyword), Mapping):
                result[keyword] = self.close(schema[keyword], closable=True)

    def _bound_contents(self, schema: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Open arrays and objects hold values of bounded depth, under names of bounded length."""
        kinds = _types(schema)
        if any(keyword in schema for keyword in (*_SETTLED, *_COMBINATORS)):
            return
        if "array" in kinds and schema.get("items", True) is True:
            if "additionalItems" not in schema and "unevaluatedItems" not in schema:
                result["items"] = {"$ref": self._any(self._any_depth - 1)}
        if "object" not in kinds or "patternProperties" in schema or "propertyNames" in schema:
            return
        if "unevaluatedProperties" in schema or result.get("additionalProperties", True) is False:
            return
        values = result.get("additionalProperties", True)
        if values is True:
            values = {"$ref": self._any(self._any_depth - 1)}
        if "properties" in schema:  # a pattern would hold them too
            result["additionalProperties"] = values
            return
        named = _named(values)
        if "maxProperties" in schema:
            del named["maxProperties"]
        result.update(named)

    def _any(self, levels: int) -> str:
        self.uses_any = True
        return _any_reference(levels)

    def _bounds(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Bounds for what the types of a schema leave open."""
        kinds = _types(schema)
        bounds: dict[str, Any] = {}
        if "string" in kinds and "maxLength" not in schema:
            longest = MAX_FORMAT_LENGTH if "format" in schema else MAX_STRING_LENGTH
            if self._is_counted or "pattern" not in schema:
                bounds["maxLength"] = max(longest, schema.get("minLength", 0))
        if "array" in kinds and "maxItems" not in schema:
            bounds["maxItems"] = max(MAX_ARRAY_ITEMS, schema.get("minItems", 0))
        if "number" in kinds:
            bounds.update(_number_bounds(schema))
        elif "integer" in kinds:
            bounds.update(_integer_bounds(schema))
        return bounds


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    return frozenset(kind) if isinstance(kind, list) else _TYPES


def _says_nothing(schema: Any) -> bool:
    return schema is True or (isinstance(schema, Mapping) and schema.keys() <= _NOTES)


def _is_closable(schema: Mapping[str, Any], is_root: bool) -> bool:
    if any(keyword in schema for keyword in (*_COMBINATORS, "patternProperties")):
        return False
    if any(keyword in schema for keyword in ("additionalProperties", "unevaluatedProperties")):
        return False
    # Parameters without properties mean no arguments; further down they mean any object.
    return bool(schema.get("properties")) or (is_root and schema.get("type") == "object")


def _with_required(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with those that are required though nothing is said of them."""
    properties = schema.get("properties", {})
    unsaid = [name for name in schema.get("required", ()) if name not in properties]
    return {"properties": {**properties, **dict.fromkeys(unsaid, True)}} if unsaid else {}


def _integer_bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    low, high = _range(schema)
    bounds: dict[str, int] = {}
    if low is None:
        bounds["minimum"] = -MAX_INTEGER if high is None or high > -MAX_INTEGER else _LEAST_INTEGER
    elif low < _LEAST_INTEGER:
        bounds["minimum"] = _LEAST_INTEGER
    if high is None:
        bounds["maximum"] = MAX_INTEGER if low is None or low < MAX_INTEGER else _MOST_INTEGER
    elif high > _MOST_INTEGER:
        bounds["maximum"] = _MOST_INTEGER
    return bounds


def _number_bounds(schema: Mapping[str, Any]) -> dict[str, float]:
    """A range and a number of decimals. Exponents end with it: a grammar with a range has none."""
    low, high = _range(schema)
    bounds: dict[str, float] = {}
    if low is None or low < -MAX_NUMBER:
        bounds["minimum"] = -MAX_NUMBER
    if high is None or high > MAX_NUMBER:
        bounds["maximum"] = MAX_NUMBER
    is_fine = any(end and abs(end) < 1000 * NUMBER_STEP for end in (low, high))
    if "multipleOf" not in schema and not is_fine:
        bounds["multipleOf"] = NUMBER_STEP
    return bounds


def _range(schema: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The ends that a schema states; draft 4 has its exclusive ends as true beside them."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    return low, high


def _any_reference(levels: int) -> str:
    return f"#/$defs/{_ANY_NAME}{levels}"


def _any_definitions(depth: int) -> dict[str, Any]:
    return {f"{_ANY_NAME}{levels}": _any_value(levels) for levels in range(depth + 1)}


def _any_value(levels: int) -> dict[str, Any]:
    """Any JSON value in which arrays and objects lie at most ``levels`` deep."""
    value: dict[str, Any] = {
        "type": ["null", "boolean", "number", "string"],
        "maxLength": MAX_STRING_LENGTH,
        **_number_bounds({}),
    }
    if levels == 0:
        return value
    below = {"$ref": _any_reference(levels - 1)}
    kinds = [*value["type"], "array", "object"]
    return {**value, "type": kinds, "items": below, "maxItems": MAX_ARRAY_ITEMS, **_named(below)}


def _named(values: Any) -> dict[str, Any]:
    """The keywords of an object whose names are free and bounded in length."""
    return {
        "patternProperties": {_NAME_PATTERN: values},
        "additionalProperties": False,
        "maxProperties": MAX_ARRAY_ITEMS,
    }
