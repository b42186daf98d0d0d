"""Requests of any content: text of every kind in every place, forms, and the secrets among them."""

from __future__ import annotations

import io
import json
import time
from typing import Any
from urllib.parse import quote, unquote

import openai
import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from localassist.observability import logs
from localassist.observability.config import LoggingSettings
from tests.generated.answers import check
from tests.generated.objects import Objects
from tests.generated.test_openapi import TIMEOUT_SECONDS
from tests.logging_state import loggers_put_back

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
bounded = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

AWKWARD = [
    *("\0", "\x1b[31m", "\r\nX-Evil: yes", "\u202egnp.exe", "\u2028", "\U0001f9ff", "é" * 300),
    *(
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "a/b",
        "C:\\x\\y",
        'a"b',
        "a;b=c",
        "%00",
        "%2e%2e%2f",
        "*",
    ),
    *("'; drop table runs; --", "{}", "${HOME}", "undefined", "null", "-1", "9" * 400, "NaN", " "),
]
texts = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
PREFIXES = ["", "asst_", "thread_", "msg_", "run_", "step_", "file-", "vs_", "vsfb_", "upload_"]
ids = st.tuples(st.sampled_from(PREFIXES), texts).map("".join)
PATHS = [
    *("/assistants/{}", "/threads/{}", "/threads/{}/messages", "/threads/{}/messages/{}"),
    *("/threads/{}/runs/{}", "/threads/{}/runs/{}/steps/{}", "/threads/{}/runs/{}/stream"),
    *("/files/{}", "/files/{}/content", "/models/{}", "/uploads/{}/cancel", "/vector_stores/{}"),
    *("/vector_stores/{}/files/{}/content", "/vector_stores/{}/file_batches/{}", "/{}"),
    *("/assistants/{}/files/{}", "/threads/{}/messages/{}/files/{}", "/chat/completions/{}"),
]


def judge(answer: requests.Response) -> dict[str, Any] | None:
    assert "x-evil" not in answer.headers
    return check(answer.status_code, answer.headers, answer.content)


@bounded
@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH"]), st.sampled_from(PATHS), st.data()
)
def test_any_id_in_any_path(
    base_url: str, session: requests.Session, method: str, path: str, data: st.DataObject
) -> None:
    filled = "/".join(
        quote(data.draw(ids), safe="") if part == "{}" else part for part in path.split("/")
    )
    judge(session.request(method, base_url + filled, timeout=TIMEOUT_SECONDS))


@bounded
@given(
    st.sampled_from(["/assistants", "/files", "/vector_stores", "/threads/{}/messages"]),
    st.dictionaries(
        st.sampled_from(["limit", "order", "after", "before", "run_id", "purpose", "filter"])
        | texts,
        texts | ids,
        max_size=5,
    ),
)
def test_any_query(
    base_url: str, session: requests.Session, objects: Objects, path: str, query: dict[str, str]
) -> None:
    url = base_url + path.format(objects.thread_id)
    judge(session.get(url, params=query, timeout=TIMEOUT_SECONDS))


@bounded
@given(
    st.dictionaries(
        st.sampled_from(["OpenAI-Beta", "Authorization", "Accept", "Content-Type", "Cookie"])
        | st.sampled_from(["X-Request-Id", "Last-Event-ID", "Origin", "Content-Encoding"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f")),
        max_size=5,
    )
)
def test_any_header(base_url: str, session: requests.Session, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = session.post(
        base_url + "/threads", data=b"{}", headers=encoded, timeout=TIMEOUT_SECONDS
    )
    judge(answer)
    assert answer.headers["x-request-id"] != headers.get("X-Request-Id")


@bounded
@given(texts)
@example("é" * 3000)
def test_any_text_is_kept_or_refused(client: openai.OpenAI, objects: Objects, text: str) -> None:
    messages = client.beta.threads.messages
    try:
        made = messages.create(
            objects.thread_id, role="user", content=text, metadata={text[:64] or "k": text[:512]}
        )
    except openai.BadRequestError as error:
        assert "\0" in text or not text, error
    else:
        kept = messages.retrieve(made.id, thread_id=objects.thread_id)
        assert kept.content[0].text.value == text  # type: ignore[union-attr]
        assert kept.metadata == {text[:64] or "k": text[:512]}


@bounded
@given(texts)
def test_any_file_name_comes_back_as_a_name(
    client: openai.OpenAI, base_url: str, session: requests.Session, name: str
) -> None:
    """Without folders, and without a way out of the header that carries it."""
    try:
        file = client.files.create(file=(name, io.BytesIO(b"x")), purpose="user_data")
    except openai.BadRequestError:
        return
    assert file.filename not in ("", ".", "..") and not set(file.filename) & {"/", "\\", "\0"}
    answer = session.get(f"{base_url}/files/{file.id}/content", timeout=TIMEOUT_SECONDS)
    judge(answer)
    told = answer.headers["content-disposition"]
    assert unquote(told.removeprefix("attachment; filename*=utf-8''")) == file.filename
    assert answer.headers["x-content-type-options"] == "nosniff"


def form(disposition: bytes, *, more: bytes = b"", end: bytes = b"--B--\r\n") -> bytes:
    purpose = b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    return (
        b"--B\r\nContent-Disposition: "
        + disposition
        + b"\r\n"
        + more
        + b"\r\nx\r\n"
        + purpose
        + end
    )


FILE = b'form-data; name="file"; filename="a.txt"'
FORM = "multipart/form-data; boundary=B"
FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", form(FILE)),
    "an empty boundary": ("multipart/form-data; boundary=", form(FILE)),
    "another boundary": ("multipart/form-data; boundary=C", form(FILE)),
    "a boundary without an end": ('multipart/form-data; boundary="B', form(FILE)),
    "a boundary beyond ASCII": ("multipart/form-data; boundary=\xff", form(FILE)),
    "no end": (FORM, form(FILE, end=b"")),
    "something before": (FORM, b"x" * 100_000 + form(FILE)),
    "no name": (FORM, form(b"form-data")),
    "a huge name": (FORM, form(b'form-data; name="' + b"n" * 100_000 + b'"; filename="a"')),
    "a huge header": (FORM, form(FILE, more=b"X-A: " + b"a" * 2_000_000 + b"\r\n")),
    "many headers": (FORM, form(FILE, more=b"X-A: a\r\n" * 10_000)),
    "a huge field": (FORM, form(b'form-data; name="n"', more=b"\r\n" + b"x" * 2**21)),
    "two files": (FORM, form(FILE, end=b"") + form(FILE)),
    "many fields": (FORM, form(b'form-data; name="n"', end=b"") * 30 + form(FILE)),
    "no form": ("application/json", b"{}"),
    "a query string": ("application/x-www-form-urlencoded", b"file=a&purpose=user_data"),
    "a query string of many": ("application/x-www-form-urlencoded", b"a&" * 1_000_000),
    "a mixture": ("multipart/mixed; boundary=B", form(FILE)),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/files", "/uploads/{}/parts"])
@pytest.mark.parametrize("case", FORMS)
def test_odd_forms_are_refused(
    base_url: str, session: requests.Session, objects: Objects, path: str, case: str
) -> None:
    content_type, body = FORMS[case]
    url = base_url + path.format(objects.upload_id)
    headers = {"Content-Type": content_type.encode("latin-1")}
    error = judge(session.post(url, data=body, headers=headers, timeout=TIMEOUT_SECONDS))
    assert error is not None


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "hex", "utf-16", "x"])
def test_a_form_may_name_any_charset(
    base_url: str, session: requests.Session, charset: str
) -> None:
    """Two of Python's were an error of the server."""
    headers = {"Content-Type": f"{FORM}; charset={charset}"}
    judge(
        session.post(base_url + "/files", data=form(FILE), headers=headers, timeout=TIMEOUT_SECONDS)
    )


@pytest.mark.parametrize("path", ["/assistants", "/threads", "/vector_stores"])
@pytest.mark.parametrize("content_type", ["text/plain", FORM, "application/xml", "\xff", ""])
def test_the_content_type_of_json_is_not_asked_for(
    base_url: str, session: requests.Session, path: str, content_type: str
) -> None:
    headers = {"Content-Type": content_type.encode("latin-1")}
    body = json.dumps({"metadata": {}, "model": "gpt-4o", "nonsense": 1})
    error = judge(
        session.post(base_url + path, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
    )
    assert error is not None and error["code"] == "unknown_parameter", "the body was read"


def test_long_ids_are_not_repeated_without_end(base_url: str, session: requests.Session) -> None:
    body = json.dumps({"assistant_id": "asst_" + "x" * 1_000_000})
    answer = session.post(base_url + "/threads/runs", data=body, timeout=TIMEOUT_SECONDS)
    assert judge(answer) is not None and len(answer.content) < 20_000


def test_of_two_fields_of_one_name_the_last_counts(
    base_url: str, session: requests.Session
) -> None:
    body = b'{"metadata": {"a": "1"}, "metadata": {"b": "2"}}'
    answer = session.post(base_url + "/threads", data=body, timeout=TIMEOUT_SECONDS)
    judge(answer)
    assert answer.json()["metadata"] == {"b": "2"}


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd", "ftp://x"])
def test_addresses_of_images_are_kept_and_never_followed(
    client: openai.OpenAI, objects: Objects, url: str
) -> None:
    """Any look-up or connection beyond this machine would fail this test, too."""
    part: Any = {"type": "image_url", "image_url": {"url": url}}
    thread = client.beta.threads.create(messages=[{"role": "user", "content": [part]}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=objects.assistant_id, poll_interval_ms=10
    )
    assert run.status == "failed" and run.last_error is not None
    assert run.last_error.code == "invalid_prompt"
    assert "contains an image, and this model reads only text" in run.last_error.message
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": [part]}]
        )


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_request_writes_a_line_of_its_own_or_a_secret_into_the_log(
    base_url: str, session: requests.Session, form: Any
) -> None:
    stream = io.StringIO()
    with loggers_put_back():
        logs.configure(LoggingSettings(format=form, requests=True), stream)
        for path in ("/threads/thread_%0a12:00:00 error", "/%1b[2J%e2%80%a8x", "/models?q=sk-a"):
            headers = {"Authorization": "Bearer sk-header-secret"}
            session.get(base_url + path, headers=headers, timeout=TIMEOUT_SECONDS)
        # A line is written after its answer has been sent.
        while stream.getvalue().count("GET /v1/") < 3:
            time.sleep(0.01)
    written = stream.getvalue()
    assert all("localassist" in line or " info " in line for line in written.splitlines())
    assert written.count("\n") == len(written.splitlines())
    assert "\x1b" not in written and "sk-" not in written
