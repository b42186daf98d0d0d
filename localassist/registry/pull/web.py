"""HTTP for downloads: the one place of the registry that reaches another machine.

Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``), trusted certificates from the
system, ``SSL_CERT_FILE`` and ``models.ca_file``. A token goes to the origin it was meant for and
nowhere else, and is in no message. Knows no paths and no files.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import httpx

from localassist.errors import ConfigError, DownloadFailed
from localassist.registry.pull.place import plain

_CONNECT_SECONDS, _SILENCE_SECONDS = 15.0, 60.0
_MOST_TEXT_BYTES = 32 * 2**20
_TRIES = 5
_LONGEST_PAUSE_SECONDS = 60.0
Response: TypeAlias = httpx.Response
"""An answer: ``status_code``, ``headers``, and the body by ``iter_raw``."""

_T = TypeVar("_T")
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class Interrupted(DownloadFailed):
    """The connection broke or the server is busy: worth another try."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


@dataclass(frozen=True, slots=True)
class Access:
    """``token`` is sent to addresses that begin with ``token_for`` only. ``say`` tells the user of
    another try."""

    token: str | None = field(default=None, repr=False)
    token_for: str = ""
    token_env: str = "HF_TOKEN"
    ca_file: Path | None = None
    pause: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = lambda _: None


class Web:
    """A client for one pull. Use as a context manager. Blocks."""

    def __init__(self, access: Access) -> None:
        """Raises ConfigError where proxies or certificates cannot be used."""
        self._access = access
        try:
            self._client = httpx.Client(
                follow_redirects=True,
                timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
                verify=_certificates(access.ca_file),
                headers={"Accept-Encoding": "identity", "User-Agent": "localassist"},
                event_hooks={"response": [_check_redirect]},
            )
        except ImportError as error:  # a SOCKS proxy, which needs another package
            raise ConfigError(f"The proxy of the environment cannot be used: {error}") from error
        except ValueError as error:
            raise ConfigError(f"The proxy of the environment is not valid: {error}.") from error

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def text(self, url: str) -> tuple[str, Mapping[str, str]] | None:
        """A small text and its headers; None where there is none (404)."""

        def read() -> tuple[str, Mapping[str, str]] | None:
            with self.open(url) as response:
                if response.status_code == 404:
                    return None
                self.check(response)
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _MOST_TEXT_BYTES:
                        raise DownloadFailed(f"{plain(url)} is too large to be a list.")
                return body.decode("utf-8", "replace"), response.headers

        return self.patiently(read)

    def json(self, url: str) -> tuple[Any, Mapping[str, str]] | None:
        """Likewise, parsed. DownloadFailed for what is no JSON."""
        found = self.text(url)
        if found is None:
            return None
        try:
            return json.loads(found[0]), found[1]
        except (ValueError, RecursionError) as error:
            raise DownloadFailed(
                f"{plain(url)} sent no list of files; is it a hub, or the page of a login or proxy?"
            ) from error

    def size(self, url: str) -> int | None:
        """How large a file is, where its server says."""

        def ask() -> int | None:
            with self.open(url, method="HEAD") as response:
                is_told = response.status_code == 200
                return count_of(response.headers.get("content-length", "")) if is_told else None

        return self.patiently(ask)

    @contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Iterator[httpx.Response]:
        """The answer, its body still to be read. Raises Interrupted, also while it is read."""
        sent = dict(headers or {})
        token, origin = self._access.token, self._access.token_for
        if token is not None and (url == origin or url.startswith(f"{origin}/")):
            sent["Authorization"] = f"Bearer {token}"
        try:
            with self._client.stream(method, url, headers=sent) as response:
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise _unreachable(url, error) from error
        except httpx.TooManyRedirects as error:
            raise DownloadFailed(f"{plain(url)} redirects in a circle.") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Interrupted(f"The connection to {plain(url)} broke.") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"{plain(url)} is not an address: {error}.") from error

    def check(self, response: httpx.Response) -> None:
        """Return if the answer is what was asked for; DownloadFailed says what it is instead."""
        status, where = response.status_code, plain(str(response.request.url))
        if response.is_success:
            return
        if status in _BUSY:
            raise Interrupted(f"{where} is busy (HTTP {status}).", _retry_after(response))
        if status in (401, 403):
            raise DownloadFailed(
                f"{where} refuses access (HTTP {status}): it does not exist, it is private, or "
                "its licence has to be accepted on the hub. "
                f"{_token_advice(self._access)}"
            )
        if status == 407:
            raise DownloadFailed("The proxy requires a user and a password (HTTP 407).")
        if status in (404, 410):
            raise DownloadFailed(f"{where} does not exist (HTTP {status}); check its spelling.")
        raise DownloadFailed(f"{where} cannot be fetched (HTTP {status}).")

    def patiently(self, attempt: Callable[[], _T]) -> _T:
        """What ``attempt`` returns, after a few interruptions if need be."""
        for tries in range(1, _TRIES + 1):
            try:
                return attempt()
            except Interrupted as error:
                if tries == _TRIES:
                    raise
                self.pause(tries, error)
        raise AssertionError("the last try returns or raises")

    def pause(self, tries: int, error: Interrupted) -> None:
        """Wait before the next try: what the server asks for, or twice as long each time."""
        wanted = error.retry_after_seconds
        seconds = 2.0 ** (tries - 1) if wanted is None else wanted
        seconds = min(seconds, _LONGEST_PAUSE_SECONDS)
        self._access.say(f"{error.message} Another try follows in {seconds:g} s.")
        self._access.pause(seconds)


def _certificates(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file.expanduser())
        elif not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ):
            import certifi  # some systems bring no certificates, or not where Python looks

            context.load_verify_locations(certifi.where())
    except OSError as error:  # SSLError is one
        raise ConfigError(f"models.ca_file: {ca_file} holds no certificates: {error}.") from error
    return context


def _check_redirect(response: httpx.Response) -> None:
    """An encrypted address must not lead to one that anybody on the way can change, and none of
    another machine to what listens on this one for this one alone."""
    if not response.has_redirect_location:
        return
    here = response.request.url
    where = f"{plain(str(here))} redirects to"
    try:
        following = here.join(response.headers["location"])
    except (httpx.InvalidURL, ValueError) as error:
        raise DownloadFailed(f"{where} what is not an address.") from error
    if here.scheme == "https" and following.scheme != "https":
        raise DownloadFailed(f"{where} an address that is not encrypted.")
    if following.scheme not in ("http", "https"):
        raise DownloadFailed(f"{where} an address that is not of the web.")
    if _is_inward(following.host) and not _is_inward(here.host):
        raise DownloadFailed(f"{where} {following.host}, a service of this machine's own.")


def _is_inward(host: str) -> bool:
    """Whether an address is not for other machines: loopback, or the one of its link alone, where
    clouds hand out credentials."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _unreachable(url: str, error: Exception) -> DownloadFailed:
    where = plain(url)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DownloadFailed(
            f"The certificate of {where} is not trusted. If your network has an authority of its "
            "own, name its certificate in models.ca_file or in SSL_CERT_FILE."
        )
    return Interrupted(
        f"{where} cannot be reached ({error}). Is there a network, and does it take a proxy "
        "(HTTPS_PROXY)?"
    )


def _token_advice(access: Access) -> str:
    if access.token is None:
        return f"With an account, put its token into the environment variable {access.token_env}."
    return f"The token in {access.token_env} does not open it."


def _retry_after(response: httpx.Response) -> float | None:
    return count_of(response.headers.get("retry-after", ""))


def count_of(text: str) -> int | None:
    """A number of a header; None for what is none, and for more than there can be of anything."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None
