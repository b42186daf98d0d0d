"""What the client of downloads refuses and repeats, without a server."""

from __future__ import annotations

import httpx
import pytest

from localassist.errors import DownloadFailed
from localassist.registry.pull.web import Access, Interrupted, Web

Answers = list[httpx.Response | Exception]


def web(answers: Answers, seen: list[httpx.Request], access: Access) -> Web:
    """A client whose requests are answered in turn."""

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        following = answers.pop(0)
        if isinstance(following, Exception):
            raise following
        return following

    client = Web(access)
    hooks = client._client.event_hooks
    client._client.close()
    client._client = httpx.Client(
        transport=httpx.MockTransport(answer), follow_redirects=True, event_hooks=hooks
    )
    return client


def redirect(to: str) -> httpx.Response:
    return httpx.Response(302, headers={"Location": to})


def test_an_encrypted_address_never_leads_to_one_that_is_not() -> None:
    seen: list[httpx.Request] = []
    answers: Answers = [redirect("http://hub.example/x"), httpx.Response(200, text="{}")]
    with web(answers, seen, Access()) as client:
        with pytest.raises(DownloadFailed, match="not encrypted"):
            client.text("https://hub.example/x")
    assert len(seen) == 1


def test_a_token_stays_with_its_origin_when_that_redirects() -> None:
    seen: list[httpx.Request] = []
    answers: Answers = [redirect("https://cdn.example/x"), httpx.Response(200, text="x")]
    access = Access("secret", "https://hub.example")
    with web(answers, seen, access) as client:
        client.text("https://hub.example/x")
    assert [request.headers.get("authorization") for request in seen] == ["Bearer secret", None]


@pytest.mark.parametrize("url", ["https://hub.example.evil/x", "https://hub.examples/x"])
def test_a_name_that_only_begins_alike_gets_no_token(url: str) -> None:
    seen: list[httpx.Request] = []
    with web([httpx.Response(200)], seen, Access("secret", "https://hub.example")) as client:
        client.text(url)
    assert "authorization" not in seen[0].headers


def test_what_broke_is_tried_again_with_longer_pauses_and_then_given_up() -> None:
    pauses: list[float] = []
    said: list[str] = []
    access = Access(pause=pauses.append, say=said.append)
    broken: Answers = [httpx.ReadTimeout("slow") for _ in range(5)]
    with web(broken, [], access) as client, pytest.raises(Interrupted, match="broke"):
        client.text("https://hub.example/x")
    assert pauses == [1, 2, 4, 8]
    assert "Another try follows in 8 s." in said[-1]


def test_a_certificate_that_is_not_trusted_is_no_matter_of_patience() -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    with web([error], [], Access()) as client:
        with pytest.raises(DownloadFailed, match="models.ca_file") as caught:
            client.text("https://hub.example/x")
    assert not isinstance(caught.value, Interrupted)
