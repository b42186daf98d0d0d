"""Requests made up from the contract's own description, legal ones and others, one by one and in
sequences in which a later request names what an earlier one has made."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import openai
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from schemathesis.generation import GenerationMode

from tests.generated.answers import check
from tests.generated.objects import Known, Objects

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CONTRACT = Path(__file__).parents[1] / "contract"
VERSIONS = {"v1": "openapi-assistants-v1.json", "v2": "openapi-assistants.json"}
# Longer than the keep-alives: whatever takes so long hangs.
TIMEOUT_SECONDS = 30
# Which ids a response brings for later requests, beside those that the links carry.
ID_OF_OBJECT = {
    "assistant": "assistant_id",
    "thread": "thread_id",
    "thread.message": "message_id",
    "thread.run": "run_id",
    "thread.run.step": "step_id",
    "file": "file_id",
    "vector_store": "vector_store_id",
    "vector_store.file_batch": "batch_id",
    "upload": "upload_id",
    "upload.part": "part_id",
}


def load(version: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((CONTRACT / VERSIONS[version]).read_text())
    return described


def settings_for(examples: int, **more: Any) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        **more,
    )


SCHEMAS = {version: schemathesis.openapi.from_dict(load(version)) for version in VERSIONS}
OPERATIONS = {
    f"{version} {result.ok().label}": (version, result.ok())
    for version, schema in SCHEMAS.items()
    for result in schema.get_all_operations()
}


def send(case: Any, base_url: str, session: requests.Session, version: str) -> requests.Response:
    headers = {"OpenAI-Beta": f"assistants={version}"}
    answer = case.call(base_url=base_url, session=session, headers=headers, timeout=TIMEOUT_SECONDS)
    check(answer.status_code, {k: v[0] for k, v in answer.headers.items()}, answer.content)
    return answer


def with_ids(value: Any, objects: Known, is_wanted: Callable[[], bool], name: str = "") -> Any:
    """``value`` with ids that exist in some of the places where ids belong."""
    if isinstance(value, dict):
        return {key: with_ids(item, objects, is_wanted, key) for key, item in value.items()}
    if isinstance(value, list):
        return [with_ids(item, objects, is_wanted, name) for item in value]
    if isinstance(value, str) and (known := objects.id_of(name)) and is_wanted():
        return known
    return value


@st.composite
def cases(draw: st.DrawFn, operation: Any, mode: GenerationMode) -> Any:
    """Requests of one operation. A request that could not be made up, which says nothing about
    the server, is left out; where none can be, hypothesis itself fails the test."""
    try:
        return draw(operation.as_strategy(generation_mode=mode))
    except HypothesisException:
        raise
    except Exception:
        # Once in some hundred runs, describing one of its own strategies, it failed, and did not
        # when hypothesis repeated the same draw: that is not the server's fault.
        hypothesis.reject()


@pytest.mark.parametrize("examples", [2, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.timeout(600)
def test_each_operation(
    name: str, examples: int, base_url: str, session: requests.Session, objects: Objects
) -> None:
    version, operation = OPERATIONS[name]

    @settings_for(examples)
    @hypothesis.given(case=cases(operation, GenerationMode.POSITIVE), data=st.data())
    def legal(case: Any, data: st.DataObject) -> None:
        def is_wanted() -> bool:
            return data.draw(st.integers(0, 3)) > 0

        case.path_parameters = with_ids(case.path_parameters, objects, is_wanted)
        case.body = with_ids(case.body, objects, is_wanted)
        send(case, base_url, session, version)

    @settings_for(examples)
    @hypothesis.given(case=cases(operation, GenerationMode.NEGATIVE))
    def illegal(case: Any) -> None:
        send(case, base_url, session, version)

    legal()
    illegal()


class Made:
    """What the requests of one sequence have made; until then, what was there."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._ids: dict[str, str] = {}

    def id_of(self, name: str) -> str | None:
        return self._ids.get(name.removesuffix("s")) or self._objects.id_of(name)

    def learn(self, answer: Any) -> None:
        if isinstance(answer, dict) and (name := ID_OF_OBJECT.get(answer.get("object", ""))):
            self._ids[name] = answer["id"]


@pytest.mark.parametrize("sequences", [5, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.timeout(1800)
def test_sequences(
    version: str,
    sequences: int,
    client: openai.OpenAI,
    base_url: str,
    session: requests.Session,
) -> None:
    """Create, retrieve, update, list, delete; thread, message, run, steps: in any order."""

    class Sequence(SCHEMAS[version].as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self._made = Made(Objects(client))
            self._chance = random.Random(sequences)

        def _is_wanted(self) -> bool:
            return self._chance.random() < 0.8

        def before_call(self, case: Any) -> None:
            # Ids that a link has brought are left as they are.
            case.body = with_ids(case.body, self._made, self._is_wanted)
            for name, value in case.path_parameters.items():
                if not str(value).startswith(("asst_", "thread_", "msg_", "run_", "file-", "vs")):
                    case.path_parameters[name] = self._made.id_of(name) or value

        def call(self, case: Any, **kwargs: Any) -> Any:
            return send(case, base_url, session, version)

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if response.status_code == 200 and "json" in response.headers["content-type"][0]:
                self._made.learn(json.loads(response.content))

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            """Nothing beyond what ``send`` has looked at."""

    Sequence.run(settings=settings_for(sequences, stateful_step_count=20))
