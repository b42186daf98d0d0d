"""Uploads in parts, as the official client makes them and as others do."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types import Upload

from localassist import clock
from tests.conformance.wire import raw

PART = 64 * 2**20


def begin(client: openai.OpenAI, size: int, **fields: Any) -> Upload:
    body: dict[str, Any] = {"filename": "book.txt", "purpose": "assistants", **fields}
    return client.uploads.create(bytes=size, mime_type="text/plain", **body)


def add(client: openai.OpenAI, upload: Upload, data: bytes) -> str:
    return client.uploads.parts.create(upload.id, data=data).id


def refused(error: pytest.ExceptionInfo[openai.APIStatusError]) -> tuple[str, Any, Any]:
    body: Any = error.value.body
    return body["message"], body["param"], body["code"]


def test_a_file_in_parts(client: openai.OpenAI) -> None:
    upload = begin(client, 10)
    assert (upload.status, upload.file) == ("pending", None)
    assert (upload.bytes, upload.expires_at) == (10, upload.created_at + 3600)
    last, first = add(client, upload, b"world"), add(client, upload, b"hello")
    checksum = hashlib.md5(b"helloworld").hexdigest()
    done = client.uploads.complete(upload.id, part_ids=[first, last], md5=checksum)
    assert done.status == "completed" and done.file is not None
    assert client.files.retrieve(done.file.id) == done.file
    assert (done.file.filename, done.file.purpose, done.file.bytes) == (
        "book.txt",
        "assistants",
        10,
    )
    assert client.files.content(done.file.id).content == b"helloworld"


def test_the_helper_of_the_client(client: openai.OpenAI, tmp_path: Any) -> None:
    path = tmp_path / "notes.md"
    path.write_bytes(b"# Notes\n" * 1000)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/markdown", purpose="assistants", part_size=1500
    )
    assert done.file is not None and done.file.filename == "notes.md"
    assert client.files.content(done.file.id).content == path.read_bytes()


def test_parts_may_come_at_the_same_time(client: openai.OpenAI) -> None:
    pieces = [bytes([number]) * 300_000 for number in range(8)]
    upload = begin(client, sum(map(len, pieces)))
    with ThreadPoolExecutor(4) as threads:
        part_ids = list(threads.map(lambda piece: add(client, upload, piece), pieces))
    done = client.uploads.complete(upload.id, part_ids=part_ids)
    assert done.file is not None
    assert client.files.content(done.file.id).content == b"".join(pieces)


def test_a_part_that_was_sent_twice_may_be_left_out(client: openai.OpenAI) -> None:
    """A client that did not hear the answer sends the part again."""
    upload = begin(client, 4)
    add(client, upload, b"data")
    done = client.uploads.complete(upload.id, part_ids=[add(client, upload, b"data")])
    assert done.status == "completed"


def test_what_does_not_add_up(client: openai.OpenAI) -> None:
    upload = begin(client, 10)
    part = add(client, upload, b"hello")
    with pytest.raises(openai.BadRequestError) as error:
        client.uploads.complete(upload.id, part_ids=[part])
    text = "The total bytes of the parts (5) do not match the declared upload size (10)."
    assert refused(error) == (text, None, None)
    with pytest.raises(openai.BadRequestError) as error:
        client.uploads.complete(upload.id, part_ids=[part, part], md5="0" * 32)
    assert refused(error)[1:] == ("md5", "invalid_value")
    with pytest.raises(openai.NotFoundError) as missing:
        client.uploads.complete(upload.id, part_ids=[part, "part_x"])
    assert refused(missing) == ("No such Upload object: part_x", "id", None)
    other = begin(client, 5)
    with pytest.raises(openai.NotFoundError):
        client.uploads.complete(other.id, part_ids=[part])
    # None of this has ended the upload.
    assert client.uploads.complete(upload.id, part_ids=[part, part]).status == "completed"


def test_an_upload_that_has_ended(client: openai.OpenAI) -> None:
    upload = begin(client, 1)
    part = add(client, upload, b"x")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    text = f"Upload {upload.id} has status 'cancelled' and cannot be modified."
    for request in (
        lambda: add(client, upload, b"y"),
        lambda: client.uploads.complete(upload.id, part_ids=[part]),
        lambda: client.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            request()
        assert refused(error) == (text, None, None)


def test_an_upload_expires(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(client, 1)
    monkeypatch.setattr(clock, "now", lambda: upload.expires_at)
    with pytest.raises(openai.BadRequestError) as error:
        add(client, upload, b"x")
    text = f"Upload {upload.id} has status 'expired' and cannot be modified."
    assert refused(error) == (text, None, None)


def test_an_upload_nobody_made(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.uploads.cancel("upload_x")
    assert refused(error) == ("No such Upload object: upload_x", "id", None)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.uploads.cancel("file-x")
    assert refused(wrong)[1] == "upload_id"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"size": 0}, "bytes", "integer_below_min_value"),
        ({"size": 8 * 2**30 + 1}, "bytes", "integer_above_max_value"),
        ({"size": 1, "purpose": "magic"}, "purpose", "invalid_value"),
        ({"size": 1, "filename": ""}, "filename", "empty_string"),
        (
            {"size": 1, "expires_after": {"anchor": "created_at", "seconds": 1}},
            "expires_after.seconds",
            "integer_below_min_value",
        ),
    ],
)
def test_a_declaration_that_cannot_be(
    client: openai.OpenAI, fields: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        begin(client, **fields)
    assert refused(error)[1:] == (param, code)


def test_the_file_of_an_upload_may_expire(client: openai.OpenAI) -> None:
    upload = begin(client, 1, expires_after={"anchor": "created_at", "seconds": 7200})
    done = client.uploads.complete(upload.id, part_ids=[add(client, upload, b"x")])
    assert done.file is not None and done.file.expires_at == done.file.created_at + 7200


def test_a_part_without_data(client: openai.OpenAI) -> None:
    upload = begin(client, 1)
    files = {"other": ("upload", io.BytesIO(b"x"))}
    answer = raw(client, "POST", f"/uploads/{upload.id}/parts", files=files)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "'data' is a required property"


@pytest.mark.slow
def test_parts_of_the_size_that_clients_send(client: openai.OpenAI) -> None:
    upload = begin(client, PART + 1)
    with pytest.raises(openai.APIStatusError) as error:
        add(client, upload, bytes(PART + 1))
    assert error.value.status_code == 413
    part_ids = [add(client, upload, bytes(PART)), add(client, upload, b"x")]
    done = client.uploads.complete(upload.id, part_ids=part_ids)
    assert done.file is not None and done.file.bytes == PART + 1


@pytest.mark.parametrize("name", ["expires_after", "filename", "x" * 3000])
def test_other_fields_of_a_form_are_refused_by_name(client: openai.OpenAI, name: str) -> None:
    """As in a JSON body: what was meant would otherwise be lost without a word."""
    files = {"file": ("a.txt", b"text")}
    answer = raw(client, "POST", "/files", files=files, data={"purpose": "assistants", name: "1"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unknown_parameter")
    assert name[:50] in error["message"] and len(error["message"]) < 300
    upload = begin(client, 1)
    part = {"data": ("upload", b"x")}
    answer = raw(client, "POST", f"/uploads/{upload.id}/parts", files=part, data={name: "1"})
    assert answer.json()["error"]["code"] == "unknown_parameter"
