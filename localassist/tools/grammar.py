"""From JSON Schemas to what constrains a model, and clear refusals for what cannot.

A schema is tried strictly, then with ``oneOf`` read as ``anyOf``, then with keywords the grammar
engine does not know left out; in the last two cases the finished value is checked afterwards.
Whether a grammar compiles is asked through a callable, so this module knows no grammar engine.
Assistants, runs and every turn check the same tools again, so what was found is remembered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

from localassist.chat.formats.json_values import grammar_of, json_rule
from localassist.core import Constraint, ToolSpec
from localassist.errors import GrammarRejected
from localassist.memo import Memo
from localassist.schemas.tools import INVALID_PARAMETERS
from localassist.tools.diagnosis import diagnosis, sentence
from localassist.tools.schema import SchemaProblem, closed, value_problem
from localassist.tools.soundness import check

# Compiles Lark source and forgets it. Raises GrammarRejected.
Validate: TypeAlias = Callable[[str], None]

_STRICT: dict[str, bool] = {}
_ONE_OF = {"coerce_one_of": True}
_LENIENT = {"coerce_one_of": True, "lenient": True}
_ANY_OBJECT = {"type": "object"}

# All tools of a request are one grammar, with some text around each; the engine takes no more
# than 256 Ki characters.
MAX_TOOLS_CHARACTERS = 240_000

_Checked: TypeAlias = dict[str, Any] | SchemaProblem
_found: Memo[object, _Checked] = Memo(most=1024, most_bytes=32 * 2**20)
_found_together: Memo[object, bool] = Memo(most=256, most_bytes=2**20)


def check_tools(
    tools: Sequence[ToolSpec], validate: Validate, *, positions: Sequence[int] | None = None
) -> list[ToolSpec]:
    """The tools with parameters as grammars want them: closed, bounded, noting their tier; what
    their authors declared is kept beside it.

    Raises GrammarRejected naming the tool, the path and the keyword. Meant for the moment an
    assistant or a run is created, and again when a turn's constraint is made of the result.
    ``positions`` say where the tools stand in the caller's list, if others stand between them.
    """
    _check_characters(len(tools), sum(map(_characters, tools)))
    checked = []
    for index, tool in zip(positions or range(len(tools)), tools, strict=True):
        declared = _declared(tool)
        try:
            parameters = check_schema({"type": "object", **declared}, validate, is_root=True)
        except SchemaProblem as problem:
            raise GrammarRejected(
                f"Invalid schema for function '{tool.name}': {sentence(problem)}",
                param=f"tools[{index}].function.parameters",
                code=INVALID_PARAMETERS,
            ) from problem
        checked.append(replace(tool, parameters=parameters, declared=declared))
    _check_together(checked, validate)
    return checked


def check_schema(
    schema: Mapping[str, Any], validate: Validate, *, is_root: bool = False
) -> dict[str, Any]:
    """The schema ready for a grammar; do not change it. Raises SchemaProblem.

    ``is_root`` means the parameters of a tool.
    """
    text = _text(schema)
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), is_root, validate
    # The text, the schema and its closed form, roughly.
    found = _found.get(key, 16 * len(text), lambda: _check(schema, validate, is_root))
    if isinstance(found, SchemaProblem):
        raise SchemaProblem(found.path, found.keyword, found.reason)
    return found


def tier_of(schema: Mapping[str, Any]) -> Literal["strict", "one of", "lenient"]:
    """How far the grammar of a checked schema goes; below "strict" the value has to be checked."""
    options = schema.get("x-guidance", _STRICT)
    return "lenient" if "lenient" in options else "one of" if options else "strict"


def is_checked_later(
    tools: Sequence[ToolSpec],
    response_format: str | Mapping[str, Any] | None,
    validate: Validate,
) -> bool:
    """Whether values of checked ``tools`` or of the format may turn out not to fit. Raises
    GrammarRejected."""
    answer = _answer_schema(response_format, validate)
    schemas = [*(tool.parameters for tool in tools), *([] if answer is None else [answer])]
    return any(tier_of(schema) != "strict" for schema in schemas)


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


def arguments_problem(tool: ToolSpec, arguments: str) -> str | None:
    """Why finished arguments do not fit the tool, None when they do; a sentence for the model."""
    problem = value_problem({"type": "object", **_declared(tool)}, arguments)
    return None if problem is None else f"Invalid arguments for '{tool.name}': {problem}"


def answer_problem(response_format: str | Mapping[str, Any] | None, text: str) -> str | None:
    """Why a finished message does not have the wanted format, None when it does."""
    schema = _wanted_schema(response_format)
    problem = None if schema is None else value_problem(schema, text)
    return None if problem is None else f"The answer does not fit its format: {problem}"


def _declared(tool: ToolSpec) -> Mapping[str, Any]:
    return tool.parameters if tool.declared is None else tool.declared


def _wanted_schema(response_format: str | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if response_format is None or isinstance(response_format, str):
        return None
    if response_format["type"] == "json_object":
        return _ANY_OBJECT
    if response_format["type"] != "json_schema":
        return None
    return response_format["json_schema"].get("schema") or _ANY_OBJECT


def _answer_schema(
    response_format: str | Mapping[str, Any] | None, validate: Validate
) -> dict[str, Any] | None:
    wanted = _wanted_schema(response_format)
    if wanted is None or response_format is None or isinstance(response_format, str):
        return None
    try:
        return check_schema(wanted, validate)
    except SchemaProblem as problem:
        name = response_format["json_schema"]["name"]
        raise GrammarRejected(
            f"Invalid schema for response_format '{name}': {sentence(problem)}",
            param="response_format.json_schema.schema",
            code="invalid_json_schema",
        ) from problem


def _text(schema: Mapping[str, Any]) -> str:
    """The schema as text; SchemaProblem where it has none."""
    try:
        return json.dumps(schema)
    except (RecursionError, TypeError, ValueError) as error:
        reason = "the schema is nested too deeply or not made of JSON values"
        raise SchemaProblem((), None, reason) from error


def _check(schema: Mapping[str, Any], validate: Validate, is_root: bool) -> _Checked:
    plain = {key: value for key, value in schema.items() if key != "x-guidance"}
    try:
        check(plain)
        ready = closed(plain, is_root=is_root)
        uncounted = closed(plain, is_root=is_root, is_counted=False)
    except SchemaProblem as problem:
        return problem
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        # A dialect's own schema says nothing of keywords that only others know.
        return SchemaProblem((), None, "a keyword has a value of the wrong kind")
    tiers = [(_STRICT, ready), (_ONE_OF, ready), (_LENIENT, ready)]
    if uncounted != ready:
        tiers.append((_LENIENT, uncounted))
    for options, form in tiers:
        candidate: dict[str, Any] = {**form, "x-guidance": options} if options else form
        if _compiles(candidate, validate):
            return candidate
    return diagnosis(uncounted, lambda part: _compiles({**part, "x-guidance": _LENIENT}, validate))


def _compiles(schema: Mapping[str, Any], validate: Validate) -> bool:
    try:
        validate(grammar_of([f"start: {json_rule(schema)}"]).grammar)
    except GrammarRejected:
        return False
    return True


def _check_together(tools: Sequence[ToolSpec], validate: Validate) -> None:
    """That the tools, each sound by itself, make one grammar."""
    if len(tools) < 2:
        return
    rules = [json_rule(tool.parameters) for tool in tools]
    _check_characters(len(tools), sum(map(len, rules)))
    names = " | ".join(f"call_{index}" for index in range(len(rules)))
    lines = [f"start: {names}", *(f"call_{i}: {rule}" for i, rule in enumerate(rules))]
    source = grammar_of(lines).grammar
    key = hashlib.sha256(source.encode()).digest(), validate
    if not _found_together.get(key, 64, partial(_is_valid, source, validate)):
        raise _too_large(len(tools), "their schemas are too much for one grammar")


def _characters(tool: ToolSpec) -> int:
    try:
        return len(_text(_declared(tool)))
    except SchemaProblem:
        return 0  # it is refused by its name later


def _check_characters(count: int, characters: int) -> None:
    if count > 1 and characters > MAX_TOOLS_CHARACTERS:
        reason = f"{characters} characters of schemas, where {MAX_TOOLS_CHARACTERS} are possible"
        raise _too_large(count, reason)


def _too_large(count: int, reason: str) -> GrammarRejected:
    return GrammarRejected(
        f"The {count} functions are too large together: {reason}.",
        param="tools",
        code=INVALID_PARAMETERS,
    )


def _is_valid(source: str, validate: Validate) -> bool:
    try:
        validate(source)
    except GrammarRejected:
        return False
    return True
