"""What every endpoint reads, watched: the table in ``server/inputs`` leaves out nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from localassist.engine import ScriptedEngine
from localassist.server import compatibility, deps
from localassist.server.compatibility import report
from localassist.server.inputs import INPUTS, Inputs
from tests.conformance.serving import MODEL, in_process, scripted_settings
from tests.conformance.world import World, reply
from tests.server.serving import Stage

SERVED = [endpoint.name for endpoint in report()[1:] if endpoint.status != "no"]
# The least that the bodies of these endpoints need; others need nothing to be read.
NEEDED: dict[str, dict[str, Any]] = {
    "POST /vector_stores/{vector_store_id}/search": {"query": "Paris"},
    "POST /vector_stores/{vector_store_id}/search/explain": {"query": "Paris"},
}


@dataclass
class Watched:
    """What has been looked up."""

    bodies: set[type] = field(default_factory=set)
    queries: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    stage = Stage()
    stage.engine = ScriptedEngine(model_id=MODEL, default_reply=reply)
    with in_process(scripted_settings(tmp_path_factory.mktemp("home")), stage) as client:
        yield client


@pytest.fixture(scope="module")
def world(client: openai.OpenAI) -> World:
    return World(client)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, world: World) -> Watched:
    watched = Watched()
    parse_body = deps.parse_body

    def parse(model: Any, text: bytes) -> Any:
        watched.bodies.add(model)
        return parse_body(model, text)

    class Params(QueryParams):
        def __getitem__(self, key: Any) -> str:
            watched.queries.add(key)
            return super().__getitem__(key)

        def get(self, key: Any, default: Any = None) -> Any:
            watched.queries.add(key)
            return super().get(key, default)

        def getlist(self, key: Any) -> list[str]:
            watched.queries.add(key)
            return super().getlist(key)

    def query_params(connection: HTTPConnection) -> QueryParams:
        return Params(connection.scope["query_string"])

    monkeypatch.setattr(deps, "parse_body", parse)
    monkeypatch.setattr(HTTPConnection, "query_params", property(query_params))
    return watched


@pytest.mark.parametrize("name", SERVED)
def test_an_endpoint_reads_what_the_table_says(
    client: openai.OpenAI, world: World, watched: Watched, name: str
) -> None:
    method, path = name.split(" ")
    inputs = INPUTS.get(name, Inputs())
    ids = world.ids(name)
    watched.bodies.clear()
    watched.queries.clear()
    body = {"json": NEEDED.get(name, {})} if inputs.body is not None else {}
    base = str(client.base_url).removesuffix("/")
    if path in ("/health", "/metrics"):
        base = base.removesuffix("/v1")
    answer = client._client.request(method, base + path.format(**ids), **body)
    assert answer.status_code not in (404, 405)
    assert watched.bodies == ({inputs.body} if inputs.body is not None else set())
    assert watched.queries == set(inputs.query)


def test_the_table_names_only_what_is_served() -> None:
    assert set(INPUTS) <= set(SERVED)


def test_a_body_is_listed_field_by_field() -> None:
    """Two levels, through unions and lists; an object without declared fields takes any."""
    names = set(compatibility.field_names(INPUTS["POST /chat/completions"].body))
    assert {"messages", "messages[].content", "tool_choice.function"} <= names
    assert {"prompt_cache_options.*", "moderation.*"} <= names
    assert not any(name.count(".") > 1 for name in names)


def test_every_sentence_is_about_something() -> None:
    """A difference that names no endpoint or parameter is a mistake in the table."""
    known = {
        (endpoint.name, item)
        for endpoint in report()
        for item in ("", *(parameter.name for parameter in endpoint.parameters))
    }
    every = {name for name, _ in known}
    for difference in compatibility.DIFFERENCES:
        for item in difference.parameters:
            names = every if difference.endpoints == compatibility.ALL else difference.endpoints
            found = [(name, item) in known for name in names]
            is_general = difference.endpoints == compatibility.ALL or len(found) > 1
            assert any(found) if is_general else all(found), difference
