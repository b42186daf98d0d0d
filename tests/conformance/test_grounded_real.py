"""Answers that the embedded model writes under the grammar of quotations: they end, and what is
quoted with a marker, if anything is, stands in the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from localassist import LocalAssist
from localassist.settings import load_settings
from localassist.tools.file_search.results import spoken
from tests.conformance.conftest import begin
from tests.conformance.test_file_search import FILE_SEARCH, message, resources, steps
from tests.conformance.test_file_search_real import FERRY, HANDBOOK
from tests.conformance.wire import check_every_answer

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

MODEL = "smollm2-135m-instruct"
QUOTATION = re.compile(r"“([^“”]*)”(?=【)")
FILES = {"handbook.txt": "\n\n".join(HANDBOOK), "ferry.txt": FERRY}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAssist]:
    """One whose model writes its answers, held to what it quotes."""
    settings = load_settings(
        tmp_path_factory.mktemp("home"),
        environ={},
        models={"quoting": {MODEL: "grounded"}},
        engine={"tuning_seconds": 0},
        retrieval={"embedder_backend": "torch"},
    )
    with LocalAssist(settings=settings) as client:
        check_every_answer(client)
        yield client


@pytest.fixture(scope="module")
def store_id(client: LocalAssist) -> str:
    store = client.vector_stores.create(name="Harbour")
    files = [(name, text.encode()) for name, text in FILES.items()]
    made = client.vector_stores.file_batches.upload_and_poll(store.id, files=files)
    assert made.file_counts.completed == 2
    return store.id


@pytest.mark.parametrize(
    "question",
    [
        "How long does a loan last?",
        "What does a dog pay on the ferry?",
        "Who founded the library?",
    ],
)
def test_an_answer_ends_and_quotes_nothing_else(
    client: LocalAssist, store_id: str, question: str
) -> None:
    talk = begin(client, question, tools=[FILE_SEARCH], tool_resources=resources(store_id))
    run = client.beta.threads.runs.create_and_poll(
        **talk.ids,
        tool_choice={"type": "file_search"},
        temperature=0,
        max_completion_tokens=256,
        poll_interval_ms=20,
    )
    assert run.status in ("completed", "incomplete"), run.last_error
    assert steps(talk, run)[0].type == "tool_calls"
    documents = [spoken(document) for document in FILES.values()]
    # The model may end at once: then there is no text to look at.
    texts: list[Any] = [part.text for part in message(talk).content]
    for text in texts:
        # Free writing has unfinished markers, too.
        assert text.value.count("【") == text.value.count("】") == len(text.annotations)
        for note in text.annotations:
            assert text.value[note.start_index : note.end_index] == note.text
        for quotation in QUOTATION.findall(text.value):
            assert any(quotation in document for document in documents), text.value
