"""Objects as they were saved, of either version of the API, as this runtime knows them.

Fields that are not known are kept out and counted; null where a field has a default is that
default. What is left must be what the API could hold, or the object is refused with its place, its
id and all that is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from localassist import ids
from localassist.archive.limits import MODELS, SHORTENED
from localassist.archive.reading import Found, Reading
from localassist.schemas.base import UNKNOWN_FIELD
from localassist.schemas.errors import describe_all
from localassist.schemas.one_of import TAG_MARK

_PREFIXES: dict[str, ids.Kind] = {
    "assistant": "assistant",
    "thread": "thread",
    "thread.message": "message",
    "thread.run": "run",
    "thread.run.step": "step",
    "file": "file",
    "vector_store": "vector_store",
    "vector_store.file": "file",
}
_REFERENCES: dict[str, ids.Kind] = {
    "thread_id": "thread",
    "run_id": "run",
    "vector_store_id": "vector_store",
    "assistant_id": "assistant",
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROUNDS = 100
_MOST = 2**53


def validated(found: Found, reading: Reading) -> Any:
    """The object; None when it is refused, which ``reading`` then says."""
    value = found.value
    problems = _id_problems(found.kind, value)
    if problems:
        reading.refuse(found.place, " ".join(problems))
        return None
    place = f"{found.place}: {value['id']}"
    prepare = _PREPARED.get(found.kind)
    if prepare is not None:
        prepare(value)
    if reading.shortens:
        _shorten(found.kind, value, place, reading)
    for _ in range(_ROUNDS):
        try:
            return MODELS[found.kind].model_validate(value)
        except ValidationError as error:
            if not _mend(found.kind, value, error, reading):
                reading.refuse(place, " ".join(each.message for each in describe_all(error)))
                return None
    reading.refuse(place, "has too many fields that are not known.")
    return None


def _id_problems(kind: str, value: dict[str, Any]) -> list[str]:
    """Ids become names of rows and folders."""
    problems = []
    given = value.get("id")
    if not _is_id(given, _PREFIXES[kind]):
        shown = given[:80] if isinstance(given, str) else given
        problems.append(f"'{shown}' is no id of a {kind}.")
    for name, other_kind in _REFERENCES.items():
        other = value.get(name)
        if other and not _is_id(other, other_kind):
            problems.append(f"Invalid '{name}': it is no id of a {other_kind}.")
    for name, number in value.items():
        is_time = name.endswith("_at") and isinstance(number, int | float)
        if (is_time or (name == "bytes" and isinstance(number, int))) and not 0 <= number < _MOST:
            problems.append(f"Invalid '{name}': number out of range.")
    return problems


def _shorten(kind: str, value: dict[str, Any], place: str, reading: Reading) -> None:
    for (owner, name), most in SHORTENED.items():
        text = value.get(name)
        if owner == kind and isinstance(text, str) and len(text) > most:
            value[name] = f"{text[: most - 1]}…"
            reading.shortened.append(f"{place}: '{name}' is cut from {len(text)} characters.")


def _is_id(value: Any, kind: ids.Kind) -> bool:
    is_plain = isinstance(value, str) and _ID.fullmatch(value) is not None
    return is_plain and value.startswith(ids.PREFIXES[kind].rstrip("-"))


def _mend(kind: str, value: dict[str, Any], error: ValidationError, reading: Reading) -> bool:
    """Take out what is not known and what is null without meaning anything; whether there was
    something of that."""
    mended = False
    for one in error.errors(include_url=False, include_context=True):
        steps = [step for step in one["loc"] if not _is_tag(step)]
        steps += list(one.get("ctx", {}).get("at", ()))
        is_unknown = one["type"] in ("extra_forbidden", UNKNOWN_FIELD)
        if not is_unknown and (one["type"] == "missing" or one["input"] is not None):
            continue
        owner = _owner(value, steps)
        if isinstance(owner, dict) and steps[-1] in owner:
            del owner[steps[-1]]
            mended = True
            if is_unknown:
                path = ".".join(str(step) for step in steps if isinstance(step, str))
                reading.unknown_fields[f"{kind}.{path}"[:120]] += 1
    return mended


def _is_tag(step: int | str) -> bool:
    return isinstance(step, str) and step.startswith(TAG_MARK)


def _owner(value: Any, steps: list[int | str]) -> Any:
    for step in steps[:-1]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value if steps else None


# --- what differs between versions and places ---------------------------------------------------


def _prepare_run(value: dict[str, Any]) -> None:
    if value.get("assistant_id") is None:
        value["assistant_id"] = ""  # the assistant had been deleted


def _prepare_step(value: dict[str, Any]) -> None:
    _prepare_run(value)
    details = value.get("step_details")
    calls = details.get("tool_calls") if isinstance(details, dict) else None
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and call.get("type") == "retrieval":
            call.pop("retrieval", None)
            call["type"] = "file_search"
        search = call.get("file_search") if isinstance(call, dict) else None
        options = search.get("ranking_options") if isinstance(search, dict) else None
        if (
            isinstance(search, dict)
            and isinstance(options, dict)
            and options.get("ranker") != "default_2024_08_21"
        ):
            search.pop("ranking_options")  # a ranker that means nothing here


def _prepare_file(value: dict[str, Any]) -> None:
    """The state of processing was the other place's."""
    for name in ("status", "status_details"):
        value.pop(name, None)
    for name, default in (("purpose", "assistants"), ("bytes", 0)):
        if value.get(name) is None:
            value[name] = default


def _prepare_store(value: dict[str, Any]) -> None:
    """Counts and sizes are sums over the files, which are counted anew."""
    value["file_counts"], value["usage_bytes"] = {}, 0
    if value.get("last_active_at") is None:
        value["last_active_at"] = value.get("created_at")
    if value.get("status") not in ("expired", "in_progress", "completed"):
        value["status"] = "completed"
    if value.get("name") is None:
        value["name"] = ""


def _prepare_store_file(value: dict[str, Any]) -> None:
    """The file is read again; how that ended elsewhere does not matter."""
    value["usage_bytes"] = 0
    value.pop("last_error", None)
    if value.get("status") != "cancelled":
        value["status"] = "in_progress"
    strategy = value.get("chunking_strategy")
    if not isinstance(strategy, dict) or strategy.get("type") != "static":
        value.pop("chunking_strategy", None)


_PREPARED: dict[str, Callable[[dict[str, Any]], None]] = {
    "thread.run": _prepare_run,
    "thread.run.step": _prepare_step,
    "file": _prepare_file,
    "vector_store": _prepare_store,
    "vector_store.file": _prepare_store_file,
}
