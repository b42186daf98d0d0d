"""Every published parameter of every endpoint, sent: ``localassist compat`` says what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.server.compatibility import Endpoint, Parameter, report
from tests.conformance.conftest import Stage
from tests.conformance.published import FILES, Json, Version, description
from tests.conformance.request_samples import Samples, steps_to
from tests.conformance.serving import MODEL, in_process, scripted_settings
from tests.conformance.wire import check_every_answer, raw
from tests.conformance.world import ALL_TOOLS, WEATHER_TOOL, World, reply
from tests.published_parameters import endpoints, parameters, resolve

HEADERS: dict[Version, dict[str, str]] = {
    "v1": {"OpenAI-Beta": "assistants=v1"},
    "v2": {"OpenAI-Beta": "assistants=v2"},
}
ENDPOINTS = {endpoint.name: endpoint for endpoint in report()}
# A chat that a message of the role "tool" can follow, and what must follow one that calls.
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
ANSWERING = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
CHOSEN = {"type": "function", "function": {"name": "get_weather"}}
# Fields that a parameter needs beside it.
BESIDE: dict[str, Json] = {
    "top_logprobs": {"logprobs": True},
    "parallel_tool_calls": {"tools": [WEATHER_TOOL]},
    "stream_options": {"stream": True},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    stage = Stage()
    stage.engine = ScriptedEngine(model_id=MODEL, default_reply=reply)
    with in_process(scripted_settings(tmp_path_factory.mktemp("home")), stage) as client:
        check_every_answer(client)
        yield client


@pytest.fixture(scope="module")
def world(client: openai.OpenAI) -> World:
    return World(client)


class Sender:
    """Sends requests of one version to one endpoint."""

    def __init__(self, client: openai.OpenAI, world: World, version: Version, name: str) -> None:
        self._client, self._world = client, world
        self._headers = HEADERS[version]
        self._document = description(version)
        self._operation = endpoints(version)[name]
        self.name = name
        self.method, self._path = name.split(" ")

    def answers(self, parameter: Parameter | None = None) -> Iterator[tuple[int, str | None]]:
        """Status and error code of each request with a value of the parameter."""
        for options, ids in self._requests(parameter):
            path = self._path.format(**ids)
            answer = raw(self._client, self.method, path, headers=self._headers, **options)
            is_refused = answer.status_code != 200
            yield answer.status_code, answer.json()["error"]["code"] if is_refused else None

    def _requests(self, parameter: Parameter | None) -> Iterator[tuple[Any, dict[str, str]]]:
        content = self._operation.get("requestBody", {}).get("content", {})
        if parameter is not None and parameter.place == "query":
            for query in self._queries(parameter.name):
                yield from (({**query, **options}, ids) for options, ids in self._requests(None))
        elif "multipart/form-data" in content:
            yield from self._forms(parameter)
        elif "application/json" not in content:
            yield {}, self._ids()
        else:
            schema = content["application/json"]["schema"]
            steps = [] if parameter is None else steps_to(parameter.name)
            yield from self._bodies(schema, steps)

    def _bodies(self, schema: Json, steps: list[str]) -> Iterator[tuple[Any, dict[str, str]]]:
        """As many requests as there are samples, each about objects of its own."""
        count = 1 if not steps else len(list(self._samples({}).with_field(schema, steps)))
        assert count, f"no sample has {steps}"
        for index in range(count):
            ids = self._ids()
            body = list(self._samples(ids).with_field(schema, steps))[index]
            yield {"json": self._whole(body, steps)}, ids

    def _whole(self, body: Json, steps: list[str]) -> Json:
        """A body with what a sample alone lacks to make sense."""
        field = steps[0] if steps else ""
        body = {**BESIDE.get(field, {}), **body}
        if "tool_choice" in body:
            is_chat = self.name == "POST /chat/completions"
            body = {"tools": [WEATHER_TOOL] if is_chat else ALL_TOOLS, **body}
            if body["tool_choice"] == {"type": "function"}:
                body["tool_choice"] = CHOSEN
        if self.name.endswith("/file_batches") and field not in ("files", "file_ids"):
            body = {"file_ids": [self._world.file], **body}
        if self.name == "POST /chat/completions":
            body["messages"] = [_said(message) for message in body["messages"]]
            (message,) = body["messages"]
            before = [CALLING] if message["role"] == "tool" else []
            after = [ANSWERING] if message.get("tool_calls") else []
            body["messages"] = [*before, message, *after]
        return body

    def _queries(self, name: str) -> Iterator[Json]:
        declared = [resolve(self._document, item) for item in self._operation["parameters"]]
        (schema,) = (item["schema"] for item in declared if item["name"] == name)
        known: dict[str, list[Any]] = {"run_id": [self._world.run]}
        if name in ("after", "before"):
            path = self._path.format(**self._ids())
            page = raw(self._client, "GET", path, headers=self._headers).json()
            known[name] = [page["first_id"]]
        samples = Samples(self._document, known)
        for value in samples.values(schema, name):
            yield {"params": {name: value}}

    def _forms(self, parameter: Parameter | None) -> Iterator[tuple[Any, dict[str, str]]]:
        """Forms have few fields; they are written out."""
        if self.name == "POST /files":
            purposes = self._operation["requestBody"]["content"]["multipart/form-data"]["schema"]
            purpose = resolve(self._document, purposes)["properties"]["purpose"]
            every = list(Samples(self._document, {}).values(purpose))
            chosen = every if parameter and parameter.name == "purpose" else every[:1]
            fields: Json = {}
            if parameter is not None and parameter.name.startswith("expires_after"):
                fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
            for value in chosen:
                data = {"purpose": value, **fields}
                yield {"data": data, "files": {"file": ("a.txt", b"text")}}, self._ids()
        else:
            yield {"files": {"data": ("upload", b"text")}}, self._ids()

    def _ids(self) -> dict[str, str]:
        return self._world.ids(self.name)

    def _samples(self, ids: dict[str, str]) -> Samples:
        world = self._world
        known: dict[str, list[Any]] = {
            "model": ["gpt-4o"],
            "assistant_id": [world.assistant],
            "file_id": [world.file],
            "file_ids": [[world.file]],
            "vector_store_ids": [[world.store]],
            "logit_bias": [{"1": 5}],
            "seed": [-(2**63), 2**63 - 1],  # what the description says is rounded
            "allowed_tools": [{"mode": mode, "tools": [CHOSEN]} for mode in ("auto", "required")],
            "json_schema": [{"name": "shape", "schema": {"type": "object"}}],
        }
        if self.name == "POST /embeddings":
            known |= {"model": ["text-embedding-3-small"], "dimensions": [1, 64]}
        if self.name.endswith("/submit_tool_outputs"):
            known["tool_call_id"] = [world.call_of(ids) if ids else "call_x"]
        if self.name.endswith("/complete"):
            known |= {
                "part_ids": [[ids.get("part_id")]],
                "md5": ["1cb251ec0d568de6a929b520c4aed8d1"],
            }
        return Samples(self._document, known)


def _said(message: Json) -> Json:
    """A message with content that its schema does not require."""
    if message["role"] == "tool":
        return {**message, "tool_call_id": "call_1"}
    if message.get("tool_calls"):
        return {**message, "tool_calls": [CALL]}
    if message["role"] == "assistant":
        return {"content": "Hi", **message}
    return message


def published_names() -> list[tuple[Version, str]]:
    return [(version, name) for version in FILES for name in endpoints(version)]


@pytest.mark.parametrize(("version", "name"), published_names())
def test_an_endpoint_does_what_is_said_of_it(
    client: openai.OpenAI, world: World, version: Version, name: str
) -> None:
    endpoint = ENDPOINTS[name]
    assert version in endpoint.versions
    sender = Sender(client, world, version, name)
    if endpoint.status == "no":
        path = name.split(" ")[1].replace("{completion_id}", "chatcmpl-1")
        answer = raw(client, sender.method, path)
        assert refusal(answer.status_code, answer.json()["error"]["code"]) == endpoint.note
        return
    if name != "DELETE /models/{model}":
        assert {status for status, _ in sender.answers()} == {200}
    for parameter in endpoint.parameters:
        if version in parameter.versions:
            check(parameter, list(sender.answers(parameter)))


def check(parameter: Parameter, answers: list[tuple[int, str | None]]) -> None:
    """Fail unless the answers are what is said of the parameter."""
    refusals = {refusal(*answer) for answer in answers if answer[0] != 200}
    accepted = sum(status == 200 for status, _ in answers)
    if parameter.status == "yes":
        assert not refusals, parameter
    elif parameter.status == "differs":
        assert accepted, parameter
        assert not any("unknown_parameter" in said for said in refusals), parameter
    else:
        assert parameter.status == "no"
        assert refusals == {parameter.note.partition(";")[0]}, parameter


def refusal(status: int, code: str | None) -> str:
    """A refusal as the page writes it."""
    return str(status) if code is None else f"{status} `{code}`"


def test_every_published_parameter_is_listed() -> None:
    for version, name in published_names():
        listed = {
            (parameter.place, parameter.name)
            for parameter in ENDPOINTS[name].parameters
            if version in parameter.versions
        }
        found = parameters(description(version), endpoints(version)[name])
        published = {(place, item) for place, items in found.items() for item in items}
        assert listed == published or ENDPOINTS[name].status == "no", name


def test_what_is_ours_is_not_published() -> None:
    for endpoint in ENDPOINTS.values():
        check_versions(endpoint)


def check_versions(endpoint: Endpoint) -> None:
    if endpoint.name != "every endpoint":
        assert (endpoint.status == "ours") == (endpoint.versions == ())
    for parameter in endpoint.parameters:
        if parameter.place != "header":
            assert (parameter.status == "ours") == (parameter.versions == ()), parameter


# Bodies with every field that is ours.
OURS: dict[str, Json] = {
    "POST /chat/completions": {
        "model": "gpt-4o",
        "messages": [{"role": "assistant", "content": "Hi", "parsed": None, "annotations": []}],
    },
    "POST /vector_stores/{vector_store_id}": {"description": "Laws"},
    "POST /vector_stores/{vector_store_id}/search/explain": {
        "query": "Paris",
        "max_num_results": 5,
        "rewrite_query": True,
        "filters": {"type": "eq", "key": "kind", "value": "law"},
        "ranking_options": {"ranker": "auto"},
    },
    "POST /tools/explain": {
        "model": "gpt-4o",
        "tools": [WEATHER_TOOL],
        "messages": [{"role": "user", "content": "Hi"}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    },
}


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_is_accepted(client: openai.OpenAI, world: World, name: str) -> None:
    method, path = name.split(" ")
    answer = raw(client, method, path.format(**world.ids(name)), json=OURS[name])
    assert answer.status_code == 200, answer.text


def test_all_that_is_ours_is_sent() -> None:
    for endpoint in ENDPOINTS.values():
        words = set(re.findall(r"\w+", str(OURS.get(endpoint.name))))
        for parameter in endpoint.parameters:
            if (parameter.status, parameter.place) == ("ours", "body"):
                # A question is short for messages, and not allowed beside them.
                name = parameter.name.rpartition(".")[2]
                assert name in words or name == "question", parameter


def test_hosted_models_are_known(client: openai.OpenAI) -> None:
    """Every name of a model that a description lists for assistants."""
    text = str([description(version)["components"]["schemas"] for version in FILES])
    names = sorted(set(re.findall(r"'((?:gpt|o\d|chatgpt)-[\w.-]*\w)'", text)))
    assert len(names) > 40
    for name in names:
        answer = raw(client, "GET", f"/models/{name}")
        assert answer.status_code == 200, name
