"""Where the service would listen, and who could come in."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from collections.abc import Iterator

from localassist.offline import allow, is_loopback
from localassist.services.checkup.finding import Configuration, Finding

_SECONDS = 2.0
_NEW_KEY = "localassist keys create NAME"


def port(settings: Configuration) -> Iterator[Finding]:
    host, number = settings.server.host, settings.server.port
    if number == 0:
        yield Finding("port", "ok", ("The service picks a free one.",))
        return
    place = f"{host}:{number}"
    refused = _why_not(host, number)
    if refused is None:
        yield Finding("port", "ok", (f"{place} is free.",))
    elif refused.errno == errno.EADDRINUSE:
        here = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if _is_ours(here, number):
            yield Finding("port", "ok", (f"A localassist answers at {place}.",))
        else:
            fix = "localassist serve --port 0, or set server.port"
            yield Finding("port", "warning", (f"Another program listens at {place}.",), fix)
    else:
        reason = refused.strerror or str(refused)
        fix = "Set server.host and server.port to an address of this machine and a free port."
        yield Finding("port", "failed", (f"Nobody can listen at {place}: {reason}.",), fix)


def network(settings: Configuration) -> Iterator[Finding]:
    server = settings.server
    if is_loopback(server.host):
        says = f"Only this machine can reach {server.host}."
        yield Finding("network", "ok", (says,))
        return
    if server.api_keys or _has_keys(settings):
        says = f"Other machines can reach {server.host}, with an API key."
        plain = "Keys and answers travel unencrypted: put a server that speaks TLS before it."
        yield Finding("network", "ok", (says, plain))
    elif server.allow_unauthenticated_network:
        says = f"Other machines can reach {server.host}, and no API key is asked for."
        yield Finding("network", "warning", (says,), _NEW_KEY)
    else:
        says = f"The service will not start: {server.host} is open to others without an API key."
        yield Finding("network", "failed", (says,), _NEW_KEY)


def _why_not(host: str, number: int) -> OSError | None:
    """Why nobody can listen there; None where one can. Nothing stays open."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen(1)
    except OSError as error:
        return error
    return None


def _is_ours(host: str, number: int) -> bool:
    """Whether what listens there says so at ``/health``."""
    allow(host)
    connection = http.client.HTTPConnection(host, number, timeout=_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = json.loads(connection.getresponse().read(2**20))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(answer, dict) and answer.get("status") == "ok"


def _has_keys(settings: Configuration) -> bool:
    # Here, so that the port is looked at also where the library of the database is broken.
    from localassist.services.checkup.stored import asked
    from localassist.storage.inspection import Inspection

    return bool(asked(settings, Inspection.has_keys))
