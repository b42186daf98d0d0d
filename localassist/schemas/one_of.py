"""Unions whose member is chosen by looking at the JSON value, so that errors speak of one member.

Pydantic's plain unions try every member and report all failures; its tagged unions put the tag
into the path. ``OneOf`` chooses by JSON type and, for objects, by a field such as ``type``. Its
tags start with NUL, which no accepted request contains, so ``errors`` can take them out safely.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from localassist.schemas.phrases import one_of

TAG_MARK = "\0"
# Custom error type: the value's JSON type is none of those the union has.
WRONG_KIND = "wrong_kind"

_UNKNOWN_OBJECT = TAG_MARK + "object"
_NO_MEMBER = TAG_MARK + "none"
_PLURALS = {
    "string": "strings",
    "integer": "integers",
    "array": "arrays",
    "object": "objects",
}
_SINGULARS = {"string": "a string", "integer": "an integer", "object": "an object"}


class OneOf:
    """``Annotated[A | B | str, OneOf()]``: at most one member per JSON type, except objects, whose
    ``key`` field is a Literal that tells them apart. A lone object member needs no key."""

    def __init__(self, key: str = "type") -> None:
        self.key = key

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        members = [member for member in get_args(source) if member is not NoneType]
        models = [member for member in members if _json_kind(member) == "object"]
        choices: dict[Any, CoreSchema] = {}
        values: list[str] = []
        for member in members:
            schema = handler.generate_schema(member)
            kind = _json_kind(member)
            if kind != "object":
                choices[TAG_MARK + kind] = schema
            elif len(models) == 1 and self.key not in member.model_fields:
                choices[_UNKNOWN_OBJECT] = schema
            else:
                for value in get_args(member.model_fields[self.key].annotation):
                    values.append(value)
                    choices[f"{_UNKNOWN_OBJECT}:{value}"] = schema
        if values:
            choices[_UNKNOWN_OBJECT] = _unrecognised(self.key, values)
        choices[_NO_MEMBER] = _refusal([_describe(member) for member in members])
        return core_schema.tagged_union_schema(choices, lambda value: self._tag(value, choices))

    def _tag(self, value: Any, choices: dict[Any, CoreSchema]) -> str:
        if isinstance(value, (dict, BaseModel)):
            name = value.get(self.key) if isinstance(value, dict) else getattr(value, self.key, "")
            tag = f"{_UNKNOWN_OBJECT}:{name}" if isinstance(name, str) else _UNKNOWN_OBJECT
            if tag not in choices:
                tag = _UNKNOWN_OBJECT
        elif isinstance(value, str):
            tag = TAG_MARK + "string"
        elif isinstance(value, int) and not isinstance(value, bool):
            tag = TAG_MARK + "integer"
        else:
            tag = TAG_MARK + "array" if isinstance(value, list) else _NO_MEMBER
        return tag if tag in choices else _NO_MEMBER


def _bare(member: Any) -> Any:
    return _bare(get_args(member)[0]) if get_origin(member) is Annotated else member


def _json_kind(member: Any) -> str:
    bare = _bare(member)
    origin = get_origin(bare)
    if bare is str or origin is Literal:
        return "string"
    if bare is int:
        return "integer"
    return "array" if origin is list else "object"


def _describe(member: Any) -> str:
    kind = _json_kind(member)
    if kind != "array":
        return _SINGULARS[kind]
    item = _bare(get_args(_bare(member))[0])
    # A union of items is described by its first member: every list here is of one JSON type.
    first = get_args(item)[0] if _is_union(item) else item
    return f"an array of {_PLURALS[_json_kind(first)]}"


def _is_union(item: Any) -> bool:
    return get_origin(item) not in (None, list, Literal)


def _unrecognised(key: str, values: list[str]) -> CoreSchema:
    """An object that is none of the members: its ``key`` is missing or not in the enum."""
    field = core_schema.typed_dict_field(core_schema.literal_schema(values), required=True)
    return core_schema.typed_dict_schema({key: field}, extra_behavior="ignore")


def _refusal(descriptions: list[str]) -> CoreSchema:
    expected = one_of(list(dict.fromkeys(descriptions)))

    def refuse(value: Any) -> Any:
        raise PydanticCustomError(WRONG_KIND, "expected {expected}", {"expected": expected})

    return core_schema.no_info_plain_validator_function(refuse)
