"""Nothing is sent anywhere: what libraries would report or look up is switched off, and a process
of ours refuses to reach another machine that nobody has named.

``switch_off`` is for every process, a user's own program included. ``seal`` is for processes that
are ours alone, since it holds for all of their Python code. It sees what goes through Python's
``socket`` module: not what C libraries do by themselves (gRPC, libpq, uvloop), and not what a child
process does that does not seal itself. Answering whoever connects to us is not its business.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

_SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",  # Chroma
    "DO_NOT_TRACK": "1",
}
_REPORTER = "openvino_telemetry"
# Where in the arguments of Python's audit events the host or the address stands.
_LOOK_UPS = frozenset(
    ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
)
_DEPARTURES = frozenset(("socket.connect", "socket.sendto", "socket.sendmsg"))

_is_sealed = False
_is_hooked = False
_allowed: set[str] = set()
_refused: set[str] = set()


def switch_off() -> None:
    """No telemetry and no look-ups on model hubs, in this process and in its children. Call it
    before such a library is imported; cheap, and may be repeated."""
    os.environ.update(_SWITCHES)
    # OpenVINO reports its import to its makers unless this package is missing.
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # this is how an import is refused
    hub = sys.modules.get("huggingface_hub.constants")
    if hub is not None:  # it has read the environment already
        hub.HF_HUB_OFFLINE = hub.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]


def seal() -> None:
    """From here on, Python code of this process that reaches for another machine gets an OSError,
    unless ``allow`` has named that machine. What is refused is logged once for each."""
    global _is_sealed, _is_hooked
    switch_off()
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # some report what is validated
    _is_sealed = True
    if not _is_hooked:
        _is_hooked = True
        sys.addaudithook(_watch)


def unseal() -> None:
    """Refuse nothing any more: the user has asked for a download, or runs functions of their
    own, which may go where they like."""
    global _is_sealed
    _is_sealed = False


def allow(address: str | None) -> None:
    """Let this process reach what the user has named: a URL, or a host alone."""
    host = urlsplit(address).hostname if address and "//" in address else address
    if host:
        _allowed.add(host.lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine can come in there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. Python cannot remove one, so it also runs when nothing is sealed."""
    if event in _LOOK_UPS:
        host = arguments[0][0] if event == "socket.getnameinfo" else arguments[0]
        is_reverse = event in ("socket.gethostbyaddr", "socket.getnameinfo")
    elif event in _DEPARTURES:
        connection, address = arguments
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or address is None:
            return
        host, is_reverse = address[0], False
    else:
        return
    if _is_sealed and not _may_reach(host, is_reverse or event in _DEPARTURES):
        _refuse(str(host))


def _may_reach(host: str | bytes | None, by_address: bool) -> bool:
    """``by_address``: an address is a way there, and not only another way to write it."""
    name = (host.decode("utf-8", "replace") if isinstance(host, bytes) else host or "").lower()
    if name in ("", "localhost") or name in _allowed:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or not by_address:
        return True
    # The addresses of a name that may be reached are not known here.
    return any(not _is_address(allowed) for allowed in _allowed)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refuse(host: str) -> None:
    if host not in _refused:
        _refused.add(host)
        _log.warning("refused to reach %s: nothing in the configuration names it", host)
    raise OSError(errno.ENETUNREACH, f"localassist does not reach other machines, here {host}")
