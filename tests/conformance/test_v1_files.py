"""Files of assistants and messages in the first version of the API, and what becomes of them in the
second."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.conformance.wire import V1, check, raw

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

OLD: Any = {"extra_headers": V1}
RETRIEVAL: Any = [{"type": "retrieval"}]
CODE: Any = [{"type": "code_interpreter"}]


def upload(client: openai.OpenAI, name: str = "notes.txt") -> str:
    data = f"These are the words of {name}.".encode()
    return client.files.create(file=(name, data), purpose="assistants").id


def assistant(client: openai.OpenAI, tools: Any, *file_ids: str) -> Any:
    body = {"file_ids": list(file_ids)}
    return client.beta.assistants.create(model="gpt-4", tools=tools, extra_body=body, **OLD)


def call(client: openai.OpenAI, method: str, path: str, status: int = 200, **options: Any) -> Any:
    """What a client of that time sends; current ones cannot."""
    answer = raw(client, method, path, headers=V1, **options)
    assert answer.status_code == status, answer.text
    check(answer.json())
    return answer.json()


def searched(client: openai.OpenAI, owner: Any) -> list[str]:
    """The files in the store of an assistant or thread, as the second version shows them."""
    search = owner.tool_resources.file_search
    if search is None:
        return []
    (store_id,) = search.vector_store_ids
    return [file.id for file in client.vector_stores.files.list(store_id, order="asc")]


def test_files_of_an_assistant(client: openai.OpenAI) -> None:
    made = assistant(client, RETRIEVAL)
    path = f"/assistants/{made.id}/files"
    ids = [upload(client, f"{number}.md") for number in range(5)]
    for file_id in ids:
        body = call(client, "POST", path, json={"file_id": file_id})
        assert (body["id"], body["assistant_id"]) == (file_id, made.id)
    assert call(client, "POST", path, json={"file_id": ids[0]})["id"] == ids[0]
    assert client.beta.assistants.retrieve(made.id, **OLD).file_ids == ids
    assert searched(client, client.beta.assistants.retrieve(made.id)) == ids
    assert call(client, "GET", f"{path}/{ids[2]}")["object"] == "assistant.file"
    page = call(client, "GET", path, params={"limit": 2})
    assert [item["id"] for item in page["data"]] == [ids[4], ids[3]] and page["has_more"]
    # A cursor whose file has just been removed leads on.
    gone = call(client, "DELETE", f"{path}/{ids[3]}")
    assert gone == {"id": ids[3], "object": "assistant.file.deleted", "deleted": True}
    client.files.delete(ids[2])
    for cursor in ids[3], ids[2]:
        page = call(client, "GET", path, params={"after": cursor})
        assert [item["id"] for item in page["data"]] == [ids[1], ids[0]]
    seen = client.beta.assistants.retrieve(made.id)
    assert searched(client, seen) == [ids[0], ids[1], ids[4]]
    assert client.files.retrieve(ids[3]).id == ids[3]


def test_files_that_are_not_there(client: openai.OpenAI) -> None:
    made = assistant(client, RETRIEVAL)
    path = f"/assistants/{made.id}/files"
    error = call(client, "POST", path, 404, json={"file_id": "file-x"})["error"]
    assert (error["message"], error["param"]) == ("No such File object: file-x", "file_id")
    text = f"No file found with id 'file-x' in assistant '{made.id}'."
    for method, end in (("GET", "/file-x"), ("DELETE", "/file-x"), ("GET", "?after=file-x")):
        assert call(client, method, path + end, 404)["error"]["message"] == text
    assert call(client, "GET", "/assistants/asst_x/files", 404)["error"]["param"] is None


def test_what_files_are_for(client: openai.OpenAI) -> None:
    text, picture = upload(client), upload(client, "drawing.png")
    for_code = assistant(client, CODE, picture)
    seen = client.beta.assistants.retrieve(for_code.id)
    assert seen.tool_resources.to_dict() == {"code_interpreter": {"file_ids": [picture]}}
    both = assistant(client, CODE + RETRIEVAL, text, picture)
    seen = client.beta.assistants.retrieve(both.id)
    assert seen.tool_resources.code_interpreter.file_ids == [text, picture]
    assert searched(client, seen) == [text]
    with pytest.raises(openai.BadRequestError) as error:
        assistant(client, RETRIEVAL, picture)
    assert (error.value.param, error.value.code) == ("file_ids", "unsupported_file")
    assert error.value.body["message"] == (  # type: ignore[index]
        "Files with extensions [.png] are not supported for retrieval. See "
        "https://platform.openai.com/docs/assistants/tools/file-search/supported-files"
    )


def test_a_tool_that_comes_later_reads_the_files(client: openai.OpenAI) -> None:
    a, b = upload(client), upload(client)
    made = assistant(client, [], a)
    assistants = client.beta.assistants
    assert assistants.retrieve(made.id).tool_resources.to_dict() == {}
    assistants.update(made.id, tools=RETRIEVAL, **OLD)
    assert searched(client, assistants.retrieve(made.id)) == [a]
    assistants.update(made.id, extra_body={"file_ids": [b]}, **OLD)
    seen = assistants.retrieve(made.id)
    assert searched(client, seen) == [b]
    # What the second version does to the store does not show in the first.
    (store_id,) = seen.tool_resources.file_search.vector_store_ids
    client.vector_stores.files.delete(b, vector_store_id=store_id)
    assert assistants.retrieve(made.id, **OLD).file_ids == [b]
    assert client.vector_stores.retrieve(store_id).expires_after is None


def test_no_more_than_twenty(client: openai.OpenAI) -> None:
    ids = [upload(client) for _ in range(21)]
    made = assistant(client, CODE, *ids[:20])
    path = f"/assistants/{made.id}/files"
    error = call(client, "POST", path, 400, json={"file_id": ids[20]})["error"]
    assert (error["param"], error["code"]) == ("file_ids", "array_above_max_length")


def test_files_of_a_message(client: openai.OpenAI) -> None:
    text, picture = upload(client), upload(client, "drawing.png")
    threads = client.beta.threads
    thread = threads.create(**OLD)
    body = {"file_ids": [text, picture]}
    message = threads.messages.create(thread.id, role="user", content="?", extra_body=body, **OLD)
    seen = threads.retrieve(thread.id)
    assert searched(client, seen) == [text]
    assert seen.tool_resources.code_interpreter.file_ids == [text, picture]
    path = f"/threads/{thread.id}/messages/{message.id}/files"
    page = call(client, "GET", path)
    assert [item["id"] for item in page["data"]] == [picture, text]
    assert page["data"][0]["message_id"] == message.id
    assert call(client, "GET", path, params={"after": picture, "limit": 1})["data"] == [
        call(client, "GET", f"{path}/{text}")
    ]
    call(client, "GET", f"{path}/file-x", 404)
    call(client, "GET", f"/threads/{thread.id}/messages/msg_x/files", 404)
