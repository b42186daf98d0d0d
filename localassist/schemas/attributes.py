"""Attributes of files in a vector store, and the filters that searches put on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from localassist.schemas import phrases
from localassist.schemas.base import (
    MAX_METADATA_VALUE,
    Body,
    Items,
    check_metadata_shape,
    refuse,
)
from localassist.schemas.one_of import WRONG_KIND, OneOf

_SCALARS = "one of a string, a decimal number, or a boolean"
_LIST_ITEMS = "one of a string or a decimal number"


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise PydanticCustomError(WRONG_KIND, "expected", {"expected": _SCALARS})
    return value


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_METADATA_VALUE:
        error = phrases.string_too_long("{param}", MAX_METADATA_VALUE, len(value))
        raise refuse(error.message, code=error.code)
    return value


AttributeValue = Annotated[Any, BeforeValidator(_scalar), AfterValidator(_short)]
"""A string, number or boolean."""

Attributes = Annotated[dict[str, AttributeValue], BeforeValidator(check_metadata_shape)]


class ComparisonFilter(Body):
    """``key`` is an attribute's name. ``in`` and ``nin`` take an array, the others one value."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: Any

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        takes_list = self.type in ("in", "nin")
        if takes_list and not isinstance(self.value, list):
            raise _wrong_type(self.value, "an array", "value")
        if not takes_list and not isinstance(self.value, str | int | float):
            raise _wrong_type(self.value, _SCALARS, "value")
        for index, item in enumerate(self.value if takes_list else ()):
            if not isinstance(item, str | int | float) or isinstance(item, bool):
                raise _wrong_type(item, _LIST_ITEMS, "value", index)
        return self


class CompoundFilter(Body):
    """All (``and``) or any (``or``) of some filters."""

    type: Literal["and", "or"]
    filters: Items[Annotated[ComparisonFilter | CompoundFilter, OneOf()]]


Filter = Annotated[ComparisonFilter | CompoundFilter, OneOf()]


def _wrong_type(value: Any, expected: str, *at: str | int) -> PydanticCustomError:
    error = phrases.wrong_type("{param}", expected, value)
    return refuse(error.message, code=error.code, at=at)


CompoundFilter.model_rebuild()
