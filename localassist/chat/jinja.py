"""Jinja for templates that come out of model files and may be hostile.

The sandbox keeps a template away from Python's internals. On top of it this module bounds what a
template may consume: wall-clock time (checked on every loop turn, call and filter), the size of the
strings it builds, one by one and together, and the size of its output. Filters and methods whose
cost cannot be told in advance are left out. Between two checks a template can still do one bounded
operation; it is a fence against bombs, not an exact meter. Knows nothing of roles or messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import wraps
from typing import Any, NoReturn, cast

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localassist.clock import monotonic, now

MAX_SOURCE_CHARACTERS = 256 * 1024
MAX_OUTPUT_CHARACTERS = 8 * 1024 * 1024
MAX_RENDER_SECONDS = 3.0

MAX_BUILT_CHARACTERS = 32 * MAX_OUTPUT_CHARACTERS

_PADDING_METHODS = frozenset(
    "center ljust rjust zfill expandtabs format format_map translate encode".split()
)
_FILTERS = (
    "abs capitalize count d default dictsort e escape first float int items join last length list "
    "lower map max min reject rejectattr replace reverse safe select selectattr sort string title "
    "trim unique upper"
).split()
_GLOBALS = ("range", "dict", "cycler", "joiner", "namespace")
_BOUNDED_OPERATORS = frozenset({"+", "*", "**", "%"})

# What evaluating template code can raise besides Jinja's own errors.
RENDER_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)
# And what compiling it can: the source becomes Python, which has limits of its own.
COMPILE_ERRORS = (TemplateError, SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(slots=True)
class _Meter:
    """What one rendering has left."""

    deadline: float
    characters: int = MAX_BUILT_CHARACTERS


# Unset while a template is compiled: whatever needs it cannot be folded into a constant.
_meter: ContextVar[_Meter] = ContextVar("render_meter")


def compile_template(source: str) -> Template:
    """A template whose loops and string operations are metered. Raises a ``COMPILE_ERRORS``."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise SecurityError("the template's source is too long")
    environment = _environment()
    tree = environment.parse(source)
    _meter_loops_and_joins(tree)
    code = environment.compile(tree)
    return Template.from_code(environment, code, environment.make_globals(None))


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The template's output. Raises one of ``RENDER_ERRORS``, SecurityError beyond a limit."""
    token = _meter.set(_Meter(monotonic() + MAX_RENDER_SECONDS))
    try:
        pieces: list[str] = []
        size = 0
        for piece in template.generate(variables):
            size += len(piece)
            _check_size(size)
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _meter.reset(token)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox with calls and operators metered."""

    intercepted_binops = _BOUNDED_OPERATORS

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _check_time()
        _check_method(obj, args)
        result = super().call(context, obj, *args, **kwargs)
        return _bounded(result)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _check_operands(operator, left, right)
        return _bounded(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, int | float | bytes) or (
            isinstance(obj, str) and attr in _PADDING_METHODS
        ):
            return False
        return super().is_safe_attribute(obj, attr, value)


class _GenerationTag(Extension):
    """``{% generation %}…{% endgeneration %}`` marks training targets; its body is plain output."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[LoopControlExtension, _GenerationTag],
        finalize=_light,
    )
    filters = {name: environment.filters[name] for name in _FILTERS}
    filters |= {"indent": _indent, "replace": _replace, "tojson": _to_json}
    environment.filters = {name: _checked(function) for name, function in filters.items()}
    environment.globals = {name: environment.globals[name] for name in _GLOBALS}
    environment.filters["_metered"] = _metered
    environment.filters["_joined"] = _joined
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _meter_loops_and_joins(tree: nodes.Template) -> None:
    """Route what every loop iterates and every ``~`` joins through our checks."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _through("_metered", loop.iter)
    for join in list(tree.find_all(nodes.Concat)):
        join.nodes = [_through("_joined", nodes.List(join.nodes, lineno=join.lineno))]


def _through(filter_name: str, expression: nodes.Node) -> nodes.Filter:
    return nodes.Filter(
        cast(nodes.Expr, expression), filter_name, [], [], None, None, lineno=expression.lineno
    )


# pass_context keeps the compiler from folding these filters into constants.
@pass_context
def _metered(context: Context, items: Iterable[Any]) -> Iterable[Any]:
    # A sized collection stays what it is as long as possible: ``loop.length`` needs its length.
    return items if isinstance(items, Undefined) else _Metered(items)


class _Metered:
    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            _check_time()
            yield item

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]


@pass_context
def _joined(context: Context, operands: list[Any]) -> str:
    joined = "".join([str(operand) for operand in _light(operands)])
    _bounded(joined)
    return joined


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with its time, what it reads and what it makes metered."""

    @wraps(function)  # keeps Jinja's marks, which say what else the function wants to be given
    def checked(*args: Any, **kwargs: Any) -> Any:
        _check_time()
        for argument in args:
            _light(argument)
        return _bounded(function(*args, **kwargs))

    return checked


def _bounded(value: Any) -> Any:
    if isinstance(value, str | bytes | list | tuple):
        _check_size(len(value))
        meter = _meter.get()
        meter.characters -= len(value)
        if meter.characters < 0:
            raise SecurityError("the template builds too many texts")
    return value


def _light(value: Any) -> Any:
    """The value, which would not be too long as text: a short list may hold a long text often."""
    if isinstance(value, list | tuple | dict):
        size = 0
        stack = [value]
        while stack:
            inner = stack.pop()
            size += len(inner)
            _check_size(size)
            for item in [*inner, *inner.values()] if isinstance(inner, dict) else inner:
                if isinstance(item, str):
                    size += len(item)
                elif isinstance(item, list | tuple | dict):
                    stack.append(item)
        _check_size(size)
    return value


def _check_method(method: Any, args: Sequence[Any]) -> None:
    """Refuse methods of texts whose result would be too long, before they build it."""
    text = getattr(method, "__self__", None)
    if not isinstance(text, str):
        return
    if method.__name__ == "replace" and all(isinstance(part, str) for part in args[:2]):
        _check_replacement(text, *args[:2])
    elif method.__name__ == "join" and args and isinstance(args[0], list | tuple):
        _light(args[0])
        _check_size(len(text) * len(args[0]))


def _check_replacement(text: str, old: str = "", new: str = "") -> None:
    _check_size(len(text) + text.count(old) * len(new))


def _check_operands(operator: str, left: Any, right: Any) -> None:
    """Refuse operations whose result could not be built safely before it can be measured."""
    if operator == "*":
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, str | bytes | list | tuple) and isinstance(count, int):
                _check_size(len(sequence) * max(count, 0))
    if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * (right if operator == "**" else 1) + right.bit_length()
        if bits > 4096:
            raise SecurityError("the template computes a number that is too large")
    if operator == "%" and isinstance(left, str):
        raise SecurityError("the template uses % formatting, which is not allowed")


def _check_size(size: int) -> None:
    if size > MAX_OUTPUT_CHARACTERS:
        raise SecurityError("the template builds a text that is too long")


def _check_time() -> None:
    if monotonic() > _meter.get().deadline:
        raise SecurityError("the template takes too long")


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    pad = " " * min(width, 64)
    return (pad if first else "") + str(text).replace("\n", "\n" + pad)


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    text = str(value)
    _check_replacement(text, old, new)
    return text.replace(old, new, -1 if count is None else count)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON: Jinja's own filter escapes HTML characters, which models have never seen."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=None if indent is None else min(indent, 16),
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(str(message))


def _strftime_now(format: str) -> str:
    return datetime.fromtimestamp(now(), timezone.utc).strftime(format[:256])
