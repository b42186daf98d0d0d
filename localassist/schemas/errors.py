"""Rejected requests in the hosted API's words, and the envelope every error travels in.

The one place that knows pydantic's error types. Of several mistakes in a request only the first is
reported, in field order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from localassist.errors import InvalidRequest, LocalAssistError, RequestError, UnsupportedParameter
from localassist.schemas import phrases
from localassist.schemas.base import (
    PROPERTY_NAME_TOO_LONG,
    REFUSED,
    TOO_MANY_PROPERTIES,
    UNKNOWN_FIELD,
    Body,
    WireModel,
)
from localassist.schemas.json_text import read_object
from localassist.schemas.one_of import TAG_MARK, WRONG_KIND
from localassist.schemas.phrases import Step, join_path

# Long enough for the ids of many calls. An id that somebody made up may be longer than any of ours.
MAX_MESSAGE = 16_384

BodyT = TypeVar("BodyT", bound=Body)
Details = dict[str, Any]


class ErrorBody(WireModel):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorEnvelope(WireModel):
    error: ErrorBody

    @classmethod
    def of(cls, error: LocalAssistError) -> ErrorEnvelope:
        message = phrases.shorten(error.message, MAX_MESSAGE)
        return cls(
            error=ErrorBody(message=message, type=error.type, param=error.param, code=error.code)
        )


def parse_body(body_type: type[BodyT], raw: bytes) -> BodyT:
    """The request body in ``raw``.

    Raises InvalidRequest, or UnsupportedParameter for what is legal but not served.
    """
    data = read_object(raw)
    try:
        return body_type.model_validate(data)
    except ValidationError as error:
        raise describe(error) from None


def describe(error: ValidationError) -> RequestError:
    """The hosted API's error for the first of pydantic's complaints."""
    return _described(error.errors(include_url=False)[0])


def describe_all(error: ValidationError) -> list[RequestError]:
    """The hosted API's error for each of pydantic's complaints."""
    return [_described(each) for each in error.errors(include_url=False)]


def _described(complaint: Mapping[str, Any]) -> RequestError:
    kind, value, context = complaint["type"], complaint["input"], complaint.get("ctx", {})
    steps = [step for step in complaint["loc"] if not _is_tag(step)]
    param = join_path([*steps, *context.get("at", ())])
    if kind in _EXPECTED:
        return phrases.wrong_type(param, _EXPECTED[kind], value)
    describe_kind = _DESCRIPTIONS.get(kind)
    if describe_kind is None:
        return InvalidRequest(f"Invalid value for '{param}'.", param=param, code="invalid_value")
    return describe_kind(param, value, context)


def _is_tag(step: Step) -> bool:
    return isinstance(step, str) and step.startswith(TAG_MARK)


def _refused(param: str, value: Any, context: Details) -> RequestError:
    message = context["message"].replace("{param}", param)
    code = cast(str | None, context["code"])
    refusal = UnsupportedParameter if code == UnsupportedParameter.code else InvalidRequest
    return refusal(message, param=param, code=code)


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "none_required": "null",
}


def _enum(param: str, value: Any, context: Details) -> InvalidRequest:
    # Pydantic hands the values over as text: 'a', 'b' or 'c'. None of ours holds a quote.
    supported = re.findall(r"'([^']*)'", context["expected"])
    if isinstance(value, str):
        return phrases.not_supported(param, value, supported)
    return phrases.wrong_type(param, "a string", value)


def _too_long(param: str, value: Any, context: Details) -> InvalidRequest:
    return phrases.array_too_long(param, context["max_length"], len(value))


_DESCRIPTIONS: dict[str, Callable[[str, Any, Details], RequestError]] = {
    "missing": lambda param, value, context: phrases.missing(param),
    "extra_forbidden": lambda param, value, context: phrases.unknown(param),
    UNKNOWN_FIELD: lambda param, value, context: phrases.unknown(param),
    WRONG_KIND: lambda param, value, context: phrases.wrong_type(param, context["expected"], value),
    REFUSED: _refused,
    "literal_error": _enum,
    "string_pattern_mismatch": lambda param, value, context: phrases.wrong_pattern(
        param, context["pattern"]
    ),
    "string_too_long": lambda param, value, context: phrases.string_too_long(
        param, context["max_length"], len(value)
    ),
    "string_too_short": lambda param, value, context: phrases.empty_string(param),
    "too_long": _too_long,
    "too_short": lambda param, value, context: phrases.empty_array(param),
    "less_than_equal": lambda param, value, context: phrases.out_of_range(
        param, context["le"], value, above=True
    ),
    "greater_than_equal": lambda param, value, context: phrases.out_of_range(
        param, context["ge"], value, above=False
    ),
    TOO_MANY_PROPERTIES: lambda param, value, context: phrases.too_many_properties(
        param, context["limit"], context["count"]
    ),
    PROPERTY_NAME_TOO_LONG: lambda param, value, context: phrases.property_name_too_long(
        param, context["name"], context["limit"]
    ),
}
