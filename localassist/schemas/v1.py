"""Any v2 payload as a v1 client expects it.

Pure functions on JSON-ready data: what they are given stays untouched. Streams need this as much as
plain answers do: a v1 client fails on a tool type it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Payload = dict[str, Any]


def to_v1(payload: Payload) -> Payload:
    """``payload`` in v1 shape; anything that looks the same in both versions is returned as is."""
    render = _RENDERERS.get(payload.get("object", ""))
    return payload if render is None else render(payload)


def _without(payload: Payload, *names: str) -> Payload:
    return {name: value for name, value in payload.items() if name not in names}


def _list(payload: Payload) -> Payload:
    return {**payload, "data": [to_v1(item) for item in payload["data"]]}


def _assistant(payload: Payload) -> Payload:
    return {"file_ids": [], **_without(payload, "tool_resources"), "tools": _tools(payload)}


def _thread(payload: Payload) -> Payload:
    return _without(payload, "tool_resources")


def _run(payload: Payload) -> Payload:
    run = {"file_ids": [], **_without(payload, "tool_resources", "parallel_tool_calls")}
    choice = payload.get("tool_choice")
    if isinstance(choice, dict):
        run["tool_choice"] = _renamed(choice)
    return {**run, "tools": _tools(payload)}


def _tools(payload: Payload) -> list[Payload]:
    return [_renamed(tool) for tool in payload["tools"]]


def _renamed(tool: Payload) -> Payload:
    return {"type": "retrieval"} if tool["type"] == "file_search" else tool


def _message(payload: Payload) -> Payload:
    message = _without(payload, "attachments")
    return {"file_ids": [], **message, "content": [_part(part) for part in payload["content"]]}


def _message_delta(payload: Payload) -> Payload:
    delta = payload["delta"]
    content = [_part(part) for part in delta.get("content") or []]
    return {**payload, "delta": {**delta, "content": content}}


def _part(part: Payload) -> Payload:
    text = part.get("text")
    if not isinstance(text, dict) or not text.get("annotations"):
        return part
    annotations = [_annotation(annotation) for annotation in text["annotations"]]
    return {**part, "text": {**text, "annotations": annotations}}


def _annotation(annotation: Payload) -> Payload:
    if annotation["type"] != "file_citation":
        return annotation
    return {**annotation, "file_citation": {"quote": "", **annotation["file_citation"]}}


def _step(payload: Payload) -> Payload:
    return {**payload, "step_details": _step_details(payload["step_details"])}


def _step_delta(payload: Payload) -> Payload:
    delta = payload["delta"]
    return {**payload, "delta": {**delta, "step_details": _step_details(delta["step_details"])}}


def _step_details(details: Payload) -> Payload:
    if details["type"] != "tool_calls":
        return details
    return {**details, "tool_calls": [_tool_call(call) for call in details["tool_calls"]]}


def _tool_call(call: Payload) -> Payload:
    if call["type"] != "file_search":
        return call
    return {**_without(call, "file_search"), "type": "retrieval", "retrieval": {}}


_RENDERERS: dict[str, Callable[[Payload], Payload]] = {
    "list": _list,
    "assistant": _assistant,
    "thread": _thread,
    "thread.run": _run,
    "thread.message": _message,
    "thread.message.delta": _message_delta,
    "thread.run.step": _step,
    "thread.run.step.delta": _step_delta,
}
