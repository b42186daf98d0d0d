"""Every endpoint and parameter of the hosted API, and what becomes of it here.

The hosted side is ``published.json``, made from the published descriptions. Ours is read from the
routes and from the fields of the bodies they read. Only what differs is said by hand, in
``differences``.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from starlette.routing import Route

from localassist.schemas.base import Body
from localassist.server.differences import ALL, DIFFERENCES, HEADERS, Difference, Status
from localassist.server.inputs import INPUTS, Inputs
from localassist.server.routes import ROUTES

DEPTH = 2
Place = Literal["query", "body", "form", "header"]
EVERY_ENDPOINT = "every endpoint"
Hosted = dict[tuple[str, str], tuple[str, ...]]
"""Which versions have a parameter, by its place and name; ``_ITSELF`` is the endpoint."""
_ITSELF = ("", "")


@dataclass(frozen=True)
class Parameter:
    """``name`` of a field leads to it: ``tools[].function``. ``versions`` are those of the hosted
    API that have it."""

    name: str
    place: Place
    versions: tuple[str, ...]
    status: Status
    note: str = ""


@dataclass(frozen=True)
class Endpoint:
    """``name`` is method and path below ``/v1``."""

    name: str
    versions: tuple[str, ...]
    status: Status
    note: str
    parameters: tuple[Parameter, ...]


def report() -> list[Endpoint]:
    """Everything, endpoints in the order of the routes, those that are not served at the end."""
    hosted = _hosted()
    served = list(_served())
    names = [*served, *(name for name in hosted if name not in served)]
    return [_general(), *(_endpoint(name, hosted.get(name, {}), served) for name in names)]


def matching(endpoints: list[Endpoint], text: str, only: Status | None) -> list[Endpoint]:
    """The endpoints with ``text`` in their names, and of these only what has the status: endpoints
    with all their parameters, or with those of their parameters."""
    found = []
    for endpoint in endpoints:
        if text.lower() not in endpoint.name.lower():
            continue
        if only is None or endpoint.status == only:
            found.append(endpoint)
            continue
        chosen = tuple(item for item in endpoint.parameters if item.status == only)
        if chosen:
            found.append(replace(endpoint, parameters=chosen))
    return found


def field_names(annotation: Any, depth: int = DEPTH) -> Iterator[str]:
    """The fields of a body as paths: ``tools``, ``tools[].function``. ``name.*`` says that an
    object may have any fields."""
    for kind in _members(annotation):
        if get_origin(kind) is list:
            for name in field_names(get_args(kind)[0], depth):
                yield name if name.startswith("[]") else f"[].{name}"
        elif kind is Any or get_origin(kind) is dict:
            yield "*"
        elif isinstance(kind, type) and issubclass(kind, Body):
            for field_name, field in kind.model_fields.items():
                name = field.alias or field_name
                yield name
                if depth > 1:
                    for below in field_names(field.annotation, depth - 1):
                        yield f"{name}{below}" if below.startswith("[]") else f"{name}.{below}"


def _members(annotation: Any) -> Iterator[Any]:
    """The types behind unions and annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _hosted() -> dict[str, Hosted]:
    text = resources.files("localassist.server").joinpath("published.json").read_text("utf-8")
    found: dict[str, Hosted] = {}
    for version, endpoints in json.loads(text).items():
        for name, places in endpoints.items():
            known = found.setdefault(name, {})
            keys = [(place, item) for place, items in places.items() for item in items]
            for key in [_ITSELF, *keys]:
                known[key] = (*known.get(key, ()), version)
    return found


def _served() -> Iterator[str]:
    for route in ROUTES:
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield f"{method} {route.path.removeprefix('/v1').replace(':path', '')}"


def _endpoint(name: str, hosted: Hosted, served: list[str]) -> Endpoint:
    said = _said(name, "")
    versions = hosted.get(_ITSELF, ())
    if name not in served:
        path = name.partition(" ")[2]
        knows_path = any(other.partition(" ")[2] == path for other in served)
        refusal = "405" if knows_path else "404 `unknown_url`"
        return Endpoint(name, versions, "no", " ".join(filter(None, [refusal, said.note])), ())
    status: Status = said.status if versions else "ours"
    parameters = _parameters(name, hosted, INPUTS.get(name, Inputs()))
    return Endpoint(name, versions, status, said.note, tuple(parameters))


def _parameters(name: str, hosted: Hosted, inputs: Inputs) -> Iterator[Parameter]:
    """The published ones first, in their order."""
    ours: dict[tuple[str, str], None] = {}
    for place in ("query", "form"):
        ours.update(((place, item), None) for item in getattr(inputs, place))
    ours.update((("header", item), None) for item in inputs.headers)
    if inputs.body is not None:
        ours.update((("body", item), None) for item in field_names(inputs.body))
    known = {key: versions for key, versions in hosted.items() if key != _ITSELF}
    for (place, item), versions in known.items():
        yield _parameter(name, place, item, versions, _is_known((place, item), ours))
    for place, item in ours:
        is_below_ours = any(
            item.startswith((f"{upper}.", f"{upper}[")) and ("body", upper) not in known
            for kind, upper in ours
            if kind == place == "body"
        )
        if (place, item) not in known and not item.endswith("*") and not is_below_ours:
            yield _parameter(name, place, item, (), True)


def _is_known(key: tuple[str, str], ours: dict[tuple[str, str], None]) -> bool:
    place, item = key
    return key in ours or (place, item.rpartition(".")[0] + ".*") in ours


def _parameter(
    name: str, place: Any, item: str, versions: tuple[str, ...], is_known: bool
) -> Parameter:
    if not is_known:
        said = _said(name, item, Difference((), (), "400 `unknown_parameter`", "no"))
        return Parameter(item, place, versions, "no", said.note)
    said = _said(name, item)
    return Parameter(item, place, versions, said.status if versions else "ours", said.note)


def _said(name: str, item: str, default: Difference | None = None) -> Difference:
    """What is said by hand of a parameter, or of the field it is a part of if that is refused."""
    for difference in DIFFERENCES:
        if name not in difference.endpoints and difference.endpoints != ALL:
            continue
        if item in difference.parameters:
            return difference
        parents = (item.partition(".")[0].removesuffix("[]"),) if "." in item else ()
        if difference.status == "no" and set(parents) & set(difference.parameters):
            return difference
    return default or Difference((), (), "", "yes")


def _general() -> Endpoint:
    """What holds for all requests: their headers."""
    parameters = [
        Parameter(name, "header", (), status, note) for name, (status, note) in HEADERS.items()
    ]
    return Endpoint(EVERY_ENDPOINT, (), "yes", "", tuple(parameters))
