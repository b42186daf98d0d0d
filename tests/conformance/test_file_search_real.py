"""Questions about real documents, with the embedded models: the right place is quoted and cited."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests import documents
from tests.conformance.conftest import WEATHER, Talk, begin
from tests.conformance.test_file_search import FILE_SEARCH, SEARCHED, check_places, message, steps
from tests.conformance.test_streams import Recorder
from tests.conformance.wire import short

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

HANDBOOK = [
    "Handbook of the harbour library\n"
    "Members may borrow eight books at a time. A loan lasts four weeks.\n"
    "Books that nobody waits for can be renewed twice.",
    "Opening hours\n"
    "The reading room is open from Tuesday to Saturday between ten and seven.\n"
    "On Sundays only the children's corner is open, from eleven until three.",
    "Fees\n"
    "A member card costs eighteen euros a year. Pupils pay nothing.\n"
    "A book that comes back late costs thirty cents a day.\n"
    "The library was founded in 1874 by the shipowner Mathilde Brandt.",
]
FERRY = (
    "Timetable of the island ferry\n\nThe first boat leaves the pier at 6:40.\n\n"
    "Bicycles travel free of charge. Dogs need a ticket of their own, which costs four euros."
)


@pytest.fixture
def store_id(real_client: openai.OpenAI) -> str:
    files = [("handbook.pdf", documents.pdf(HANDBOOK)), ("ferry.txt", FERRY.encode())]
    store = real_client.vector_stores.create(name="Harbour")
    made = real_client.vector_stores.file_batches.upload_and_poll(store.id, files=files)
    assert made.file_counts.completed == 2
    return store.id


def ask(client: openai.OpenAI, store_id: str, question: str, *tools: Any) -> Talk:
    resources: Any = {"file_search": {"vector_store_ids": [store_id]}}
    return begin(client, question, tools=[FILE_SEARCH, *tools], tool_resources=resources)


@pytest.mark.parametrize(
    ("question", "said", "place"),
    [
        ("How long does a loan last?", "four weeks", "handbook.pdf, page 1"),
        ("When is the reading room open?", "between ten and seven", "handbook.pdf, page 2"),
        ("Who founded the library?", "Mathilde Brandt", "handbook.pdf, page 3"),
        ("How much is a ticket for a dog on the ferry?", "four euros", "ferry.txt"),
    ],
)
def test_a_question_about_a_document(
    real_client: openai.OpenAI, store_id: str, question: str, said: str, place: str
) -> None:
    talk = ask(real_client, store_id, question)
    handler = Recorder()
    runs = real_client.beta.threads.runs
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
    assert run.status == "completed" and short(handler.events) == SEARCHED
    text = message(talk).content[0].text
    assert said in text.value and place in text.value
    check_places(text)
    assert said in " ".join(text.annotations[0].file_citation.quote.split())
    results = steps(talk, run)[0].step_details.tool_calls[0].file_search.results
    cited = {result.file_id: result.file_name for result in results}
    assert cited[text.annotations[0].file_citation.file_id] == place.split(",")[0]


def test_what_the_documents_do_not_hold(real_client: openai.OpenAI, store_id: str) -> None:
    talk = ask(real_client, store_id, "Who won the chess championship of Norway in 1987?")
    run = real_client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    text = message(talk).content[0].text
    assert "nothing" in text.value and text.annotations == []


def test_a_follow_up(real_client: openai.OpenAI, store_id: str) -> None:
    talk = ask(real_client, store_id, "How long does a loan last?")
    runs = real_client.beta.threads.runs
    runs.create_and_poll(**talk.ids)
    talk.say("And how many times can it be renewed?")
    assert runs.create_and_poll(**talk.ids).status == "completed"
    assert "renewed twice" in message(talk).content[0].text.value


def test_small_talk_is_not_searched_for(real_client: openai.OpenAI, store_id: str) -> None:
    talk = ask(real_client, store_id, "Hello!")
    run = real_client.beta.threads.runs.create_and_poll(**talk.ids, max_completion_tokens=256)
    assert run.status in ("completed", "incomplete")
    assert [step.type for step in steps(talk, run)] == ["message_creation"]


def test_a_function_that_fits_comes_first(real_client: openai.OpenAI, store_id: str) -> None:
    runs = real_client.beta.threads.runs
    weather = ask(real_client, store_id, "What's the weather in Paris?", WEATHER)
    run = runs.create_and_poll(**weather.ids)
    assert run.status == "requires_action"
    runs.cancel(run.id, thread_id=weather.thread_id)
    library = ask(real_client, store_id, "Who founded the library?", WEATHER)
    run = runs.create_and_poll(**library.ids)
    assert run.status == "completed"
    assert "Mathilde Brandt" in message(library).content[0].text.value
