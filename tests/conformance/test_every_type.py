"""One file of every kind in one store, with the embedded models: each is found by a question about
what it says, and cited with its place."""

from __future__ import annotations

from itertools import product
from typing import Any

import openai
import pytest

from localassist.retrieval.parsers import PARSERS
from tests import documents
from tests.conformance.conftest import begin
from tests.conformance.serving import Server
from tests.conformance.test_file_search import FILE_SEARCH, check_places, message, resources
from tests.conformance.wire import check_every_answer

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

# Towns that nobody has heard of, one for each kind of file.
_SYLLABLES = (
    "Kor Bel Tash Mun Vel".split(),
    "va di ro ne shu".split(),
    "lin dar mouth stead gard wick ponte".split(),
)
_TOWNS = map("".join, product(*_SYLLABLES))
TOWNS = dict(zip(sorted(PARSERS), _TOWNS, strict=False))
# Those of the parsers that read more than plain text, and some of the plain ones.
MAIN = sorted(
    {*documents.PLACES, *"doc rtf eml csv tsv jsonl txt rst adoc org tex py sql yml".split()}
)
STEPS = {suffix: str(104 + 3 * number) for number, suffix in enumerate(TOWNS)}


def sentence(suffix: str) -> str:
    return f"The lighthouse of {TOWNS[suffix]} has {STEPS[suffix]} steps."


def question(suffix: str) -> str:
    return f"How many steps does the lighthouse of {TOWNS[suffix]} have?"


@pytest.fixture(scope="module")
def files(real_server: Server) -> dict[str, str]:
    """File ids by suffix, all in the store ``files[""]``."""
    with real_server.client() as client:
        store = client.vector_stores.create(name="Every kind")
        found = {"": store.id}
        for suffix in PARSERS:
            content = documents.of_type(suffix, sentence(suffix))
            uploaded = client.files.create(
                file=(f"lighthouse.{suffix}", content), purpose="assistants"
            )
            found[suffix] = uploaded.id
        ids = [found[suffix] for suffix in PARSERS]
        batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids)
        assert (batch.file_counts.completed, batch.file_counts.total) == (len(ids), len(ids))
    return found


def test_every_kind_is_known() -> None:
    assert set(MAIN) < set(PARSERS) == set(TOWNS)


def test_each_is_found_first(real_server: Server, files: dict[str, str]) -> None:
    missed: dict[str, Any] = {}
    with real_server.client() as client:
        check_every_answer(client)
        for suffix in PARSERS:
            best = client.vector_stores.search(files[""], query=question(suffix)).data[0]
            said = best.content[0].text
            if best.file_id != files[suffix] or STEPS[suffix] not in said:
                missed[suffix] = (best.filename, best.score, said)
    assert not missed


def test_each_is_cited_with_its_place(real_server: Server, files: dict[str, str]) -> None:
    wrong: dict[str, str] = {}
    with real_server.client() as client:
        check_every_answer(client)
        for suffix in MAIN:
            text = answer(client, files[""], question(suffix))
            name, place = f"lighthouse.{suffix}", documents.PLACES.get(suffix)
            source = f"{name}, {place}: “" if place else f"{name}: “"
            cited = [note.file_citation.file_id for note in text.annotations]
            is_right = text.value.startswith(source) and sentence(suffix) in text.value
            if not is_right or cited[0] != files[suffix]:
                wrong[suffix] = text.value
    assert not wrong


def answer(client: openai.OpenAI, store_id: str, asked: str) -> Any:
    talk = begin(client, asked, tools=[FILE_SEARCH], tool_resources=resources(store_id))
    run = client.beta.threads.runs.create_and_poll(**talk.ids, poll_interval_ms=20)
    assert run.status == "completed"
    text = message(talk).content[0].text
    check_places(text)
    return text
