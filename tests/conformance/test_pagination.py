"""Pages of lists, and the client's iterators over them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import openai
import pytest

from localassist.client.threads import list_threads

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@pytest.fixture
def thread_id(client: openai.OpenAI) -> str:
    """A thread with the messages 0 to 4, all of the same second."""
    messages: Any = [{"role": "user", "content": str(n)} for n in range(5)]
    return client.beta.threads.create(messages=messages).id


def said(messages: Any) -> list[str]:
    return [message.content[0].text.value for message in messages]


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_the_iterator_sees_everything_once(
    client: openai.OpenAI, thread_id: str, limit: int
) -> None:
    list_ = client.beta.threads.messages.list
    assert said(list_(thread_id, limit=limit)) == ["4", "3", "2", "1", "0"]
    assert said(list_(thread_id, limit=limit, order="asc")) == ["0", "1", "2", "3", "4"]


def test_pages_know_their_ends(client: openai.OpenAI, thread_id: str) -> None:
    page = client.beta.threads.messages.list(thread_id, limit=2)
    assert page.has_more and page.has_next_page()
    second = page.get_next_page()
    assert said(second.data) == ["2", "1"]
    last = second.get_next_page()
    assert (said(last.data), last.has_more, last.has_next_page()) == (["0"], False, False)


def test_cursors_in_both_directions(client: openai.OpenAI, thread_id: str) -> None:
    list_ = client.beta.threads.messages.list
    ids = [message.id for message in list_(thread_id)]
    assert said(list_(thread_id, after=ids[1], limit=2).data) == ["2", "1"]
    assert said(list_(thread_id, before=ids[3], limit=2).data) == ["3", "2"]
    assert said(list_(thread_id, after=ids[0], before=ids[3]).data) == ["3", "2"]
    assert said(list_(thread_id, order="asc", after=ids[1]).data) == ["4"]


def test_deleting_while_iterating_misses_nothing(client: openai.OpenAI, thread_id: str) -> None:
    messages = client.beta.threads.messages
    seen = []
    for message in messages.list(thread_id, limit=2):
        messages.delete(message.id, thread_id=thread_id)
        seen += said([message])
    assert seen == ["4", "3", "2", "1", "0"]
    empty = messages.list(thread_id)
    assert (empty.data, empty.has_more) == ([], False)


def test_a_cursor_never_issued_is_not_found(client: openai.OpenAI, thread_id: str) -> None:
    with pytest.raises(openai.NotFoundError, match="No message found with id 'msg_never'"):
        client.beta.threads.messages.list(thread_id, after="msg_never")


@pytest.mark.parametrize("limit", [0, 101])
def test_limits_have_limits(client: openai.OpenAI, limit: int) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.beta.assistants.list(limit=limit)
    assert caught.value.param == "limit"
    assert f"but got {limit} instead." in caught.value.message


def _assistants(client: openai.OpenAI) -> tuple[list[str], Any]:
    create = client.beta.assistants.create
    return [create(model="gpt-4o").id for _ in range(3)], client.beta.assistants.list


def _runs(client: openai.OpenAI) -> tuple[list[str], Any]:
    assistant = client.beta.assistants.create(model="gpt-4o")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "?"}])
    runs = client.beta.threads.runs
    made = [
        runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id).id for _ in range(3)
    ]
    return made, lambda **page: runs.list(thread.id, **page)


def _files(client: openai.OpenAI) -> tuple[list[str], Any]:
    create = client.files.create
    made = [create(file=(f"{n}.txt", b"x"), purpose="batch").id for n in range(3)]
    return made, lambda **page: client.files.list(purpose="batch", **page)


def _threads(client: openai.OpenAI) -> tuple[list[str], Any]:
    made = [client.beta.threads.create().id for _ in range(3)]
    return made, lambda **page: list_threads(client, **page)


@pytest.mark.parametrize("make", [_assistants, _runs, _files, _threads])
def test_every_list_is_newest_first_and_paged(
    client: openai.OpenAI, make: Callable[[openai.OpenAI], tuple[list[str], Any]]
) -> None:
    made, list_ = make(client)
    assert [item.id for item in islice(list_(limit=2), 3)] == made[::-1]
