"""File search in runs, as official clients see it: steps, results, streams, annotations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from tests.conformance.conftest import WEATHER, Talk, begin
from tests.conformance.serving import call
from tests.conformance.test_streams import CLOSING, HEAD, OPENING, Recorder
from tests.conformance.wire import V1, Event, delta_text, raw, raw_stream, short

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]
FILE_SEARCH: Any = {"type": "file_search"}
INCLUDE: Any = ["step_details.tool_calls[*].file_search.results[*].content"]
SEARCHING = ["S.created", "S.in_progress", "S.delta", "S.completed"]
SEARCHED = [*HEAD, *SEARCHING, *OPENING, "M.delta", *CLOSING]
HOURS = "The lighthouse museum opens at nine and closes at six."
PRICES = "Tickets for the ferry cost twelve euros each."
QUESTION = "When does the lighthouse museum open?"


def search(*queries: str) -> str:
    body = json.dumps({"name": "file_search", "arguments": {"queries": list(queries)}})
    return f"<tool_call>\n{body}\n</tool_call>"


def citing(request: Generate) -> str:
    """An answer with the marker that the prompt shows first."""
    shown = "".join(map(chr, (token for token in request.prompt if token < 0x110000)))
    return f"À neuf heures{shown[shown.index('【') : shown.index('】') + 1]}, so it is said."


def upload(client: openai.OpenAI, name: str, text: str) -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


@pytest.fixture
def store_id(client: openai.OpenAI) -> str:
    ids = [upload(client, "hours.md", HOURS), upload(client, "prices.txt", PRICES)]
    store = client.vector_stores.create(name="Visits")
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids)
    assert batch.file_counts.completed == 2
    return store.id


@pytest.fixture
def talk(client: openai.OpenAI, store_id: str, use_engine: UseEngine) -> Talk:
    """A thread whose run searches, is told of the hours first, and cites them."""
    use_engine(search("lighthouse museum opens at nine"), citing)
    return begin(client, QUESTION, tools=[FILE_SEARCH], tool_resources=resources(store_id))


def resources(store_id: str) -> Any:
    return {"file_search": {"vector_store_ids": [store_id]}}


def steps(talk: Talk, run: Any, **options: Any) -> list[Any]:
    listed = talk.client.beta.threads.runs.steps.list
    return list(listed(run.id, thread_id=talk.thread_id, order="asc", **options))


def message(talk: Talk) -> Any:
    return talk.client.beta.threads.messages.list(talk.thread_id, limit=1).data[0]


def check_citation(text: Any) -> None:
    """One annotation, at the place and of the file that it names."""
    (citation,) = text.annotations
    check_places(text)
    assert text.value.replace(citation.text, "") == "À neuf heures, so it is said."


def test_a_run_that_is_polled(talk: Talk) -> None:
    run = talk.client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    searched, answered = steps(talk, run)
    (made,) = searched.step_details.tool_calls
    assert (made.type, made.id[:5]) == ("file_search", "call_")
    assert made.file_search.ranking_options.ranker == "default_2024_08_21"
    assert made.file_search.ranking_options.score_threshold == 0.0
    best = made.file_search.results[0]
    scores = [result.score for result in made.file_search.results]
    assert best.file_name == "hours.md" and best.content is None
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1
    check_citation(message(talk).content[0].text)
    assert message(talk).content[0].text.annotations[0].file_citation.file_id == best.file_id
    used = [step.usage.total_tokens for step in (searched, answered)]
    assert run.usage is not None and run.usage.total_tokens == sum(used)


def test_contents_are_told_to_those_who_ask(talk: Talk) -> None:
    run = talk.client.beta.threads.runs.create_and_poll(**talk.ids)
    listed = steps(talk, run, include=INCLUDE)[0]
    retrieve = talk.client.beta.threads.runs.steps.retrieve
    ids = {"thread_id": talk.thread_id, "run_id": run.id}
    assert retrieve(listed.id, **ids, include=INCLUDE) == listed
    best = listed.step_details.tool_calls[0].file_search.results[0]
    assert best.content[0].type == "text" and HOURS in best.content[0].text
    plain = retrieve(listed.id, **ids)
    assert plain == steps(talk, run)[0]
    assert "content" not in plain.step_details.tool_calls[0].file_search.results[0].to_dict()  # type: ignore[union-attr, index]
    with pytest.raises(openai.BadRequestError, match="everything"):
        retrieve(listed.id, **ids, include=["everything"])  # type: ignore[list-item]


def test_the_stream_helper(talk: Talk) -> None:
    handler = Recorder()
    runs = talk.client.beta.threads.runs
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
        (said,) = stream.get_final_messages()
        snapshots = stream.get_final_run_steps()
    assert short(handler.events) == SEARCHED and handler.error is None
    assert said == message(talk) == handler.message
    check_citation(said.content[0].text)
    assert [step.id for step in snapshots] == [step.id for step in steps(talk, run)]
    assert snapshots[0].step_details.tool_calls[0].type == "file_search"  # type: ignore[union-attr]


def check_places(text: Any) -> None:
    """Every annotation stands where it says."""
    assert text.annotations
    for one in text.annotations:
        assert one.text.startswith("【") and one.text.endswith("†source】")
        assert text.value[one.start_index : one.end_index] == one.text


def streamed(talk: Talk, path: str, body: Any, **options: Any) -> list[Event]:
    return list(raw_stream(talk.client, "POST", path, json={**body, "stream": True}, **options))


@pytest.mark.parametrize("is_included", [False, True])
def test_results_in_a_stream(talk: Talk, is_included: bool) -> None:
    path = f"/threads/{talk.thread_id}/runs"
    params = {"include[]": INCLUDE[0]} if is_included else {}
    events = streamed(talk, path, {"assistant_id": talk.assistant_id}, params=params)
    assert short(event.name for event in events) == SEARCHED
    deltas = [e.data for e in events if e.name == "thread.run.step.delta"]
    (started,) = [part for d in deltas for part in d["delta"]["step_details"]["tool_calls"]]
    wanted = {"index": 0, "id": started["id"], "type": "file_search", "file_search": {}}
    assert started == wanted
    opened = next(e.data for e in events if e.name == "thread.run.step.created")
    assert opened["step_details"] == {"type": "tool_calls", "tool_calls": []}
    done = next(e.data for e in events if e.name == "thread.run.step.completed")
    (made,) = done["step_details"]["tool_calls"]
    assert made["id"] == started["id"]
    assert [("content" in result) for result in made["file_search"]["results"]][0] == is_included
    annotated = [
        part["text"]
        for e in events
        if e.name == "thread.message.delta"
        for part in e.data["delta"]["content"]
        if part["text"].get("annotations")
    ]
    ((citation,),) = [text["annotations"] for text in annotated]
    assert citation["text"] in annotated[0]["value"] and citation["index"] == 0
    again = f"{path}/{done['run_id']}/stream"
    attached = list(raw_stream(talk.client, "GET", again, params=params))
    assert [event.data for event in attached] == [event.data for event in events]


def test_a_thread_and_its_run_at_once_with_stores_of_its_own(
    talk: Talk, store_id: str, client: openai.OpenAI
) -> None:
    plain = client.beta.assistants.create(model="gpt-4o", tools=[FILE_SEARCH])
    body = {
        "assistant_id": plain.id,
        "thread": {"messages": [{"role": "user", "content": QUESTION}]},
        "tool_resources": resources(store_id),
    }
    events = streamed(talk, "/threads/runs", body)
    assert short(event.name for event in events) == ["created", *SEARCHED]
    assert delta_text(events).startswith("À neuf heures【")


def test_searches_and_functions_of_one_turn(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(search("lighthouse museum opens") + "\n" + call("Paris"))
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids, tools=[FILE_SEARCH, WEATHER])
    assert run.status == "requires_action" and run.required_action is not None
    (asked,) = run.required_action.submit_tool_outputs.tool_calls
    assert asked.function.name == "get_weather"
    (step,) = steps(talk, run)
    assert [c.type for c in step.step_details.tool_calls] == ["file_search", "function"]
    path = f"/threads/{talk.thread_id}/runs/{run.id}/submit_tool_outputs"
    given = {"tool_outputs": [{"tool_call_id": asked.id, "output": "rain"}]}
    params = {"include[]": INCLUDE[0]}
    events = streamed(talk, path, given, params=params)
    rest = ["S.completed", "R.queued", "R.in_progress", *OPENING, "M.delta", *CLOSING]
    assert short(event.name for event in events) == rest
    found, function = events[0].data["step_details"]["tool_calls"]
    assert function["function"]["output"] == "rain"
    assert found["file_search"]["results"][0]["content"]


def test_a_file_that_comes_with_the_message(client: openai.OpenAI, use_engine: UseEngine) -> None:
    use_engine(search("lighthouse museum opens"), citing)
    talk = begin(client, "Hello", tools=[FILE_SEARCH])
    attachment: Any = {"file_id": upload(client, "hours.md", HOURS), "tools": [FILE_SEARCH]}
    client.beta.threads.messages.create(
        talk.thread_id, role="user", content=QUESTION, attachments=[attachment]
    )
    # No wait here: the run does that itself.
    run = client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    text = message(talk).content[0].text
    check_citation(text)
    assert text.annotations[0].file_citation.file_id == attachment["file_id"]


def test_a_deleted_store_is_an_empty_one(talk: Talk, store_id: str, use_engine: UseEngine) -> None:
    use_engine(search("museum"), "I found nothing.")
    talk.client.vector_stores.delete(store_id)
    chosen = talk.client.beta.threads.runs.create_and_poll(**talk.ids, tool_choice=FILE_SEARCH)
    assert chosen.status == "completed"
    found = steps(talk, chosen)[0].step_details.tool_calls[0].file_search
    assert found.results == []


def test_in_the_shapes_of_version_1(client: openai.OpenAI, use_engine: UseEngine) -> None:
    use_engine(search("lighthouse museum opens"), citing)
    old: Any = {"extra_headers": V1}
    file_id = upload(client, "hours.md", HOURS)
    assistant = client.beta.assistants.create(
        model="gpt-4-1106-preview",
        tools=[{"type": "retrieval"}],  # type: ignore[list-item]
        extra_body={"file_ids": [file_id]},
        **old,
    )
    thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}], **old)
    wait_for(client, assistant)
    path = f"/threads/{thread.id}/runs"
    body = {"assistant_id": assistant.id, "stream": True}
    events = list(raw_stream(client, "POST", path, json=body, headers=V1))
    assert short(event.name for event in events) == SEARCHED
    done = next(e.data for e in events if e.name == "thread.run.step.completed")
    (made,) = done["step_details"]["tool_calls"]
    assert made == {"id": made["id"], "type": "retrieval", "retrieval": {}}
    (delta,) = [e.data["delta"] for e in events if e.name == "thread.run.step.delta"]
    assert delta["step_details"]["tool_calls"] == [{"index": 0, **made}]
    listed = raw(client, "GET", f"{path}/{done['run_id']}/steps", headers=V1).json()
    assert listed["data"][-1]["step_details"] == done["step_details"]
    (said,) = [e.data for e in events if e.name == "thread.message.completed"]
    (citation,) = said["content"][0]["text"]["annotations"]
    assert citation["file_citation"]["file_id"] == file_id
    assert citation["file_citation"]["quote"] in HOURS


def wait_for(client: openai.OpenAI, assistant: Any) -> None:
    """Until the assistant's files can be searched: a run does not wait for those."""
    (store_id,) = client.beta.assistants.retrieve(
        assistant.id
    ).tool_resources.file_search.vector_store_ids  # type: ignore[union-attr]
    for file in client.vector_stores.files.list(store_id):
        client.vector_stores.files.poll(file.id, vector_store_id=store_id)
