"""Typed Python functions as tools: what a model is told of one, and how it is called.

The definition comes from the signature and the docstring (Google, NumPy or Sphinx style). Arguments
arrive as JSON text, are validated by pydantic, and the result goes back as text. Knows nothing of
runs or clients.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, Union, get_args, get_origin, get_type_hints, overload

import docstring_parser
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python
from typing_extensions import NotRequired, ParamSpec, TypedDict, TypeVar

from localassist.tools.schema import subschemas

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_Kind = inspect.Parameter
_ANNOTATED: Any = Annotated
_MAX_PROBLEMS = 5


class ToolDefinitionError(TypeError):
    """A function cannot be a tool as it stands; the text names it and says what to change."""


class ArgumentsError(ValueError):
    """The arguments of a call do not fit the function; the text is meant for the model."""


class Tool(Generic[P, R]):
    """A function that a model may call; Python still calls it like any other.

    ``definition`` is what assistants, runs and chat completions take among their ``tools``.
    Raises ToolDefinitionError for a function whose arguments cannot be described.
    """

    definition: dict[str, Any]

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        self.function = function
        self.name: str = getattr(function, "__name__", "") if name is None else name
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionError(
                f"Function '{self.name}' cannot be a tool: a tool's name has 1 to 64 letters "
                "(a-z, A-Z), digits, '_' and '-'. Give it one with tool(name=...)."
            )
        functools.update_wrapper(self, function)
        self._parameters = _parameters(self.name, function)
        told, explained = _explained(function)
        hints = _hints(self.name, function, self._parameters)
        self._arguments = _adapter(self.name, self._parameters, hints)
        self.definition = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": told if description is None else description,
                "parameters": _schema(self.name, self._parameters, hints, explained),
            },
        }

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def call(self, arguments: str) -> str:
        """Call the function with JSON text and return its result as text: a string as it is,
        everything else as JSON. An asynchronous function runs in an event loop of its own.

        Raises ArgumentsError, and whatever the function raises.
        """
        args, kwargs = self._bound(arguments)
        result: Any = self.function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        return self._text(result)

    async def call_async(self, arguments: str) -> str:
        """The same from a coroutine; a synchronous function runs on a thread."""
        args, kwargs = self._bound(arguments)
        if self.is_async:
            result: Any = await self.function(*args, **kwargs)  # type: ignore[misc]
        else:
            result = await asyncio.to_thread(self.function, *args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        return self._text(result)

    def _bound(self, arguments: str) -> Any:
        """Positional and named arguments. What the call leaves out keeps the function's default."""
        try:
            values = self._arguments.validate_json(arguments or "{}")
        except ValidationError as error:
            problems = [_problem(one) for one in error.errors(include_url=False)[:_MAX_PROBLEMS]]
            raise ArgumentsError(
                f"The arguments of {self.name} are not valid. {'; '.join(problems)}."
            ) from error
        only = [p for p in self._parameters if p.kind is _Kind.POSITIONAL_ONLY]
        args = [values.pop(p.name, p.default) for p in only]
        return args, values

    def _text(self, result: object) -> str:
        try:
            text = result if isinstance(result, str) else to_json(result, fallback=str).decode()
        except PydanticSerializationError as error:
            raise TypeError(f"The result of {self.name} cannot be written as JSON: {error}") from (
                error
            )
        return sendable(text)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Any:
    """Make a tool of a typed function; as ``@tool`` or ``@tool(name=..., description=...)``.

    ``name`` and ``description`` replace those of the function. Raises ToolDefinitionError.
    """
    if function is not None:
        return Tool(function)
    return functools.partial(Tool, name=name, description=description)


def as_tool(function: Tool[..., Any] | Callable[..., Any]) -> Tool[..., Any]:
    """The tool itself, or the one made of a plain function. Raises ToolDefinitionError."""
    return function if isinstance(function, Tool) else Tool(function)


def sendable(text: str) -> str:
    """The text without what no request may carry: NUL and halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


# --- from signature to schema -------------------------------------------------------------------


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"Function '{name}' cannot be a tool: its parameters cannot be read ({error}). "
            "Call it from a function of your own, with types."
        ) from error
    for parameter in parameters:
        shown = str(parameter).partition(":")[0].partition("=")[0].strip()
        if parameter.kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD):
            raise ToolDefinitionError(
                f"Function '{name}' cannot be a tool: a model cannot be told what '{shown}' takes. "
                "Name each parameter and give it a type."
            )
        if parameter.annotation is _Kind.empty:
            raise ToolDefinitionError(
                f"Function '{name}' cannot be a tool: parameter '{shown}' has no type. "
                f"Annotate it, for example '{shown}: str'."
            )
    return parameters


def _hints(
    name: str, function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> dict[str, Any]:
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception as error:
        raise ToolDefinitionError(
            f"Function '{name}' cannot be a tool: its annotations cannot be read ({error})."
        ) from error
    for parameter in parameters:
        if parameter.name not in hints:  # classes tell the types of their attributes instead
            raise ToolDefinitionError(
                f"Function '{name}' cannot be a tool: the type of parameter '{parameter.name}' "
                "cannot be read. Call it from a function of your own, with types."
            )
    return hints


def _adapter(
    name: str, parameters: list[inspect.Parameter], hints: Mapping[str, Any]
) -> TypeAdapter[Any]:
    """What validates the arguments as one object, without unknown ones."""
    for parameter in parameters:
        try:
            TypeAdapter(hints[parameter.name]).json_schema()
        except (PydanticUserError, TypeError) as error:
            raise ToolDefinitionError(
                f"Function '{name}' cannot be a tool: the type of parameter '{parameter.name}' has "
                f"no JSON form ({str(error).splitlines()[0]})."
            ) from error
    return TypeAdapter(
        _object(name, {p.name: (hints[p.name], p.default is not _Kind.empty) for p in parameters})
    )


def _schema(
    name: str,
    parameters: list[inspect.Parameter],
    hints: Mapping[str, Any],
    explained: Mapping[str, str],
) -> dict[str, Any]:
    """The arguments as the model sees them: described, with defaults, without titles."""
    fields = {
        parameter.name: (
            _described(hints[parameter.name], parameter, explained.get(parameter.name)),
            parameter.default is not _Kind.empty,
        )
        for parameter in parameters
    }
    schema = TypeAdapter(_object(name, fields)).json_schema()
    _strip_titles(schema)
    schema.pop("description", None)
    schema.setdefault("properties", {})
    return schema


def _described(annotation: Any, parameter: inspect.Parameter, explained: str | None) -> Any:
    """The annotation with what the docstring says and the default. A note of the author's own
    stands behind the docstring's, and so wins."""
    base, *own = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if parameter.default is None:
        base = _without_none(base)
    notes = [Field(description=explained, json_schema_extra=_default(parameter.default))]
    notes += [Field(description=note) if isinstance(note, str) else note for note in own]
    return functools.reduce(lambda kind, note: _ANNOTATED[kind, note], notes, base)


def _object(name: str, fields: Mapping[str, tuple[Any, bool]]) -> Any:
    """A dictionary type: field to its type and whether it may be left out."""
    annotations = {
        key: NotRequired[kind] if is_optional else kind
        for key, (kind, is_optional) in fields.items()
    }
    made = TypedDict(name, annotations)  # type: ignore[misc]
    return with_config(ConfigDict(extra="forbid"))(made)


def _without_none(annotation: Any) -> Any:
    """``X | None`` with default None is X that may be left out: easier for a small model."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    rest = [one for one in get_args(annotation) if one is not types.NoneType]
    return functools.reduce(operator.or_, rest)


def _default(value: object) -> dict[str, Any]:
    """``default`` of a schema, where there is one to show."""
    if value is None or value is _Kind.empty:
        return {}
    try:
        return {"default": to_jsonable_python(value)}
    except PydanticSerializationError:
        return {}  # it still applies; the model just cannot be shown it


def _strip_titles(schema: Any) -> None:
    """Titles only repeat names, and a small model reads every token."""
    pending = [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            one.pop("title", None)
            pending += [child for _, child in subschemas(one)]


def _explained(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What the docstring says of the function and of its parameters."""
    text = inspect.getdoc(function) or ""
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text, {}
    parts = (parsed.short_description, parsed.long_description)
    about = {one.arg_name: " ".join((one.description or "").split()) for one in parsed.params}
    return "\n".join(part for part in parts if part), about


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])


async def _awaited(result: Any) -> Any:
    return await result
