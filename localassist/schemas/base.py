"""What every wire type is made of: output objects, request bodies, pages, metadata, list queries.

Knows JSON and the hosted API's general rules, but no resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from localassist.schemas import phrases
from localassist.schemas.phrases import Step

T = TypeVar("T")

# Custom error types that ``errors`` turns into the hosted API's sentences.
REFUSED = "refused"
UNKNOWN_FIELD = "unknown_field"
TOO_MANY_PROPERTIES = "too_many_properties"
PROPERTY_NAME_TOO_LONG = "property_name_too_long"

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512


def refuse(
    message: str, *, code: str | None = "invalid_value", at: Sequence[Step] = ()
) -> PydanticCustomError:
    """An error of the hosted API's to raise from a validator. ``at`` leads from the validated value
    to the culprit; ``{param}`` in ``message`` becomes its full path."""
    return PydanticCustomError(
        REFUSED, "{message}", {"message": message, "code": code, "at": list(at)}
    )


class _Schema(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=()
    )

    # The hosted API emits null rather than omitting, except for these fields.
    omitted_when_none: ClassVar[frozenset[str]] = frozenset()
    omitted_when_unset: ClassVar[frozenset[str]] = frozenset()

    def dump(self) -> dict[str, Any]:
        """Plain JSON-ready data in wire form."""
        return self.model_dump(mode="json")

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = cast(dict[str, Any], handler(self))
        for name in self.omitted_when_none:
            if fields.get(name) is None:
                fields.pop(name, None)
        for name in self.omitted_when_unset - self.model_fields_set:
            fields.pop(name, None)
        return fields


class WireModel(_Schema):
    """An object the API returns. Frozen: change one with ``model_copy(update=...)``."""


class Body(_Schema):
    """JSON the caller sends, or a part of it. No coercion, no unknown fields; ``model_fields_set``
    tells absent from null."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_floods(cls, value: Any) -> Any:
        # Pydantic reports every unknown field; a million of them would take seconds to list.
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + 16:
            known = {field.alias or name for name, field in cls.model_fields.items()}
            first = next(name for name in value if name not in known)
            raise PydanticCustomError(UNKNOWN_FIELD, "unknown field", {"at": [first]})
        return value


# A list that stops at its first bad item, because only the first error is ever reported.
Items = Annotated[list[T], Field(fail_fast=True)]


def check_metadata_shape(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_METADATA_PAIRS:
        raise PydanticCustomError(
            TOO_MANY_PROPERTIES, "too many", {"limit": MAX_METADATA_PAIRS, "count": len(value)}
        )
    for name in value:
        if isinstance(name, str) and len(name) > MAX_METADATA_KEY:
            raise PydanticCustomError(
                PROPERTY_NAME_TOO_LONG, "name too long", {"name": name, "limit": MAX_METADATA_KEY}
            )
    return value


MetadataValue = Annotated[str, Field(max_length=MAX_METADATA_VALUE)]
Metadata = Annotated[dict[str, MetadataValue], BeforeValidator(check_metadata_shape)]


def merge_metadata(stored: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata after an update: new keys are merged in, null clears the map."""
    merged = {} if change is None else {**stored, **change}
    if len(merged) > MAX_METADATA_PAIRS:
        raise phrases.too_many_properties("metadata", MAX_METADATA_PAIRS, len(merged))
    return merged


class Page(WireModel, Generic[T]):
    """One page of a list endpoint."""

    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, items: Sequence[T], *, has_more: bool = False) -> Self:
        """A page of objects that have an ``id``."""
        ids = [cast(Any, item).id for item in items]
        return cls(
            data=list(items),
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=has_more,
        )


class Deleted(WireModel):
    """What a DELETE returns; ``object`` is e.g. ``assistant.deleted``."""

    id: str
    object: str
    deleted: Literal[True] = True


_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The pagination part of a list request's query string."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None

    @classmethod
    def parse(
        cls, params: Mapping[str, str], max_limit: int = 100, default_limit: int = 20
    ) -> ListQuery:
        """Read raw query-string pairs; other parameters in ``params`` are not looked at."""
        order = params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise phrases.not_supported("order", check_text(order, "order"), ("asc", "desc"))
        return cls(
            limit=_parse_limit(params.get("limit"), max_limit, default_limit),
            order="asc" if order == "asc" else "desc",
            after=_parse_cursor(params, "after"),
            before=_parse_cursor(params, "before"),
        )


def _parse_limit(text: str | None, max_limit: int, default_limit: int) -> int:
    if text is None:
        return default_limit
    if not _INTEGER.fullmatch(text):
        raise phrases.wrong_type("limit", "an integer", text)
    # Python refuses to convert thousands of digits; nothing that long is within bounds anyway.
    value = int(text[:20])
    shown = text if len(text) > 20 else value
    if value > max_limit:
        raise phrases.out_of_range("limit", max_limit, phrases.shorten(str(shown)), above=True)
    if value < 1:
        raise phrases.out_of_range("limit", 1, phrases.shorten(str(shown)), above=False)
    return value


def _parse_cursor(params: Mapping[str, str], name: str) -> str | None:
    cursor = params.get(name)
    return cursor if cursor is None else check_text(cursor, name)


def is_storable(text: str) -> bool:
    """Whether UTF-8 and PostgreSQL can hold ``text``: no NUL, no unpaired surrogate."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(value: str, param: str) -> str:
    """``value``, if it can be stored; for text that comes from a URL, not from a JSON body."""
    if not is_storable(value):
        raise phrases.unusable_text(param)
    return value


def check_id(value: str, prefix: str, param: str) -> str:
    """``value``, if it looks like an id of the kind: ``check_id(id, "thread", "thread_id")``."""
    check_text(value, param)
    bare = prefix.rstrip("_-")
    if not value.startswith(bare):
        raise phrases.wrong_prefix(param, value, bare)
    return value
