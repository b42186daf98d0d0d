"""From JSON Schemas to what constrains a model, and clear refusals for what cannot.

A schema is tried strictly, then with ``oneOf`` read as ``anyOf``, then with keywords the grammar
engine does not know left out; in the last case the finished value is checked afterwards. Whether a
grammar compiles is asked through a callable, so this module knows no grammar engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from localassist.chat.formats.json_call import grammar_of, json_rule
from localassist.clock import monotonic
from localassist.core import Constraint, ToolSpec
from localassist.errors import GrammarRejected
from localassist.tools.schema import (
    Path,
    SchemaProblem,
    check,
    closed,
    subschemas,
    value_problem,
)

# Compiles Lark source and forgets it. Raises GrammarRejected.
Validate: TypeAlias = Callable[[str], None]

_TIERS: tuple[dict[str, bool], ...] = (
    {},
    {"coerce_one_of": True},
    {"coerce_one_of": True, "lenient": True},
)
_DIAGNOSIS_SECONDS = 0.4
_ANY_OBJECT = {"type": "object"}


def check_tools(tools: Sequence[ToolSpec], validate: Validate) -> list[ToolSpec]:
    """The tools with parameters as grammars want them: closed, bounded, noting their tier.

    Raises GrammarRejected naming the tool, the path and the keyword. Meant for the moment an
    assistant or a run is created, and again when a turn's constraint is made of the result.
    """
    checked = []
    for index, tool in enumerate(tools):
        schema = {"type": "object", **tool.parameters}
        try:
            parameters = check_schema(schema, validate, is_root=True)
        except SchemaProblem as problem:
            raise GrammarRejected(
                f"Invalid schema for function '{tool.name}': {_sentence(problem)}",
                param=f"tools[{index}].function.parameters",
            ) from problem
        checked.append(replace(tool, parameters=parameters))
    return checked


def check_schema(
    schema: Mapping[str, Any], validate: Validate, *, is_root: bool = False
) -> dict[str, Any]:
    """The schema ready for a grammar. Raises SchemaProblem."""
    plain = {key: value for key, value in schema.items() if key != "x-guidance"}
    check(plain)
    ready = closed(plain, is_root=is_root)
    for options in _TIERS:
        candidate: dict[str, Any] = {**ready, "x-guidance": options} if options else ready
        if _compiles(candidate, validate):
            return candidate
    raise _diagnosis(ready, validate)


def answer_rule(response_format: str | Mapping[str, Any] | None, validate: Validate) -> str | None:
    """The Lark expression a final message has to match, None for free text.

    Takes the wire's ``response_format``. Raises GrammarRejected naming path and keyword.
    """
    schema = _answer_schema(response_format, validate)
    return None if schema is None else json_rule(schema)


def response_constraint(
    response_format: str | Mapping[str, Any] | None, validate: Validate
) -> Constraint | None:
    """The constraint of a turn that can only be a final message."""
    schema = _answer_schema(response_format, validate)
    if schema is None:
        return None
    return replace(grammar_of([f"start: {json_rule(schema)}"]), json_schema=schema)


def _answer_schema(
    response_format: str | Mapping[str, Any] | None, validate: Validate
) -> dict[str, Any] | None:
    if response_format is None or isinstance(response_format, str):
        return None
    if response_format["type"] == "json_object":
        return dict(_ANY_OBJECT)
    if response_format["type"] != "json_schema":
        return None
    wanted = response_format["json_schema"]
    try:
        return check_schema(wanted.get("schema") or _ANY_OBJECT, validate)
    except SchemaProblem as problem:
        raise GrammarRejected(
            f"Invalid schema for response_format '{wanted['name']}': {_sentence(problem)}",
            param="response_format.json_schema.schema",
        ) from problem


def arguments_problem(tool: ToolSpec, arguments: str) -> str | None:
    """Why finished arguments do not fit the tool, None when they do; a sentence for the model."""
    schema = {key: value for key, value in tool.parameters.items() if key != "x-guidance"}
    problem = value_problem({"type": "object", **schema}, arguments)
    return None if problem is None else f"Invalid arguments for '{tool.name}': {problem}"


def _compiles(schema: Mapping[str, Any], validate: Validate) -> bool:
    try:
        validate(grammar_of([f"start: {json_rule(schema)}"]).grammar)
    except GrammarRejected:
        return False
    return True


def _diagnosis(root: Mapping[str, Any], validate: Validate) -> SchemaProblem:
    """Why no tier compiles: the deepest schema that fails by itself, and the keyword in it without
    which it would not. Stops at a deadline; then the place found so far is named."""
    deadline = monotonic() + _DIAGNOSIS_SECONDS
    shared = {key: root[key] for key in ("$defs", "definitions") if key in root}

    def fails(schema: Any) -> bool:
        if not isinstance(schema, Mapping):
            return False
        whole = {**shared, **schema, "x-guidance": _TIERS[-1]}
        return monotonic() < deadline and not _compiles(whole, validate)

    path: Path = ()
    schema: Any = root
    while True:
        found = next(((step, child) for step, child in subschemas(schema) if fails(child)), None)
        if found is None:
            break
        path, schema = (*path, *found[0]), found[1]
    for keyword in schema:
        rest = {key: value for key, value in schema.items() if key != keyword}
        if monotonic() < deadline and not fails(rest):
            return SchemaProblem(path, keyword, "this keyword or its value is not supported")
    return SchemaProblem(path, None, "this schema is not supported")


def _sentence(problem: SchemaProblem) -> str:
    place = (*problem.path, *([] if problem.keyword is None else [problem.keyword]))
    where = ".".join(str(step) for step in place)
    return f"In '{where}': {problem.reason}." if where else f"{problem.reason}."
