"""What somebody names when they pull a model: a repository of a hub, or an address."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from localassist.errors import ConfigError

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(
    rf"(?:hf:)?(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[^/]+))?(?:/(?P<file>.+))?"
)
# The public hub under its names, and the views of a file that people copy from a browser.
_HUBS = ("huggingface.co", "hf.co", "www.huggingface.co")
_VIEW = re.compile(
    rf"/(?P<repo>{_PART}/{_PART})"
    r"(?:/(?:resolve|blob|tree|raw)/(?P<revision>[^/]+)(?:/(?P<file>.+))?)?/?"
)


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A repository, and one file of it if one is named."""

    repo: str
    file: str | None = None
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class UrlPlace:
    """An address: a file, or a page that lists some."""

    url: str


def parse_place(text: str) -> HubPlace | UrlPlace:
    """What ``text`` names. ConfigError says how a place is written."""
    if re.match(r"https?://", text):
        return _parse_url(text)
    match = _REPOSITORY.fullmatch(text)
    if match is None or Path(text).exists():
        if Path(text).exists():
            raise ConfigError(f"{text} is a file or folder here: localassist models add {text}")
        raise ConfigError(
            f"`{text}` names no model: give owner/repo, hf:owner/repo/file.gguf, or an address "
            "that begins with https://."
        )
    return HubPlace(match["repo"], match["file"], match["revision"] or "main")


def _parse_url(text: str) -> HubPlace | UrlPlace:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{plain(text)} is not an address: {error}.") from error
    if not host:
        raise ConfigError(f"{plain(text)} is not an address: it names no host.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "The address holds a user's name or password; put a token into an environment variable "
            "and name that with --token-env."
        )
    view = _VIEW.fullmatch(unquote(parts.path)) if host in _HUBS else None
    if view is not None:
        return HubPlace(view["repo"], view["file"], view["revision"] or "main")
    return UrlPlace(urlunsplit(parts._replace(fragment="")))


def check_hub(url: str) -> str:
    """A hub's address without a slash at its end; ConfigError for what is none."""
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname or place.username:
        raise ConfigError(
            f"`{url}` is not an address of a hub; give one such as https://models.example.org."
        )
    return url.rstrip("/")


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    place = urlsplit(url)
    if place.scheme == "https" or place.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(place.hostname or "").is_loopback
    except ValueError:
        return False


def plain(url: str) -> str:
    """The address for people and records: without what may be secret in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(url: str) -> str:
    """The last part of an address's path, readable."""
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]


def sibling(url: str, name: str) -> str:
    """The address of the file ``name`` beside the one at ``url``."""
    parts = urlsplit(url)
    path = parts.path.rpartition("/")[0] + "/" + quote(name)
    return urlunsplit(parts._replace(path=path))


def suffixed(url: str, suffix: str) -> str:
    """``url`` with ``suffix`` behind its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))
