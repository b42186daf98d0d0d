"""Reads what strace wrote about sockets: which calls lead, or could lead, off this machine.

Loopback stays here, except where names are asked for: what listens on port 53 asks others. Sockets
of the file system stay here, except those of services that look names up; nscd knows users as well,
so there the question counts. Netlink is talk with the kernel about interfaces. Everything else
counts, also what cannot be read.
"""

from __future__ import annotations

import ipaddress
import re

CALLS = ("connect", "sendto", "sendmsg", "sendmmsg", "bind", "io_uring_setup")
_STAYS = ("AF_NETLINK", "AF_UNSPEC")
_NAME_SERVICES = re.compile(r'sun_path=@?"[^"]*(systemd/resolve|io\.systemd\.Resolve|avahi)')
_NAME_QUESTION = re.compile(r'"\\2\\0\\0\\0[^"]*hosts\\0')
_PORTS_OF_NAMES = re.compile(r"htons\((53|853|5353|5355)\)")
_ADDRESS = re.compile(r"\{sa_family=(\w+)([^}]*)\}?")
_HOST = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_CALL = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)$")


def departures(trace: str) -> list[str]:
    """The lines of ``strace -f`` that are more than this machine's own affair."""
    return [line for line in trace.splitlines() if _leaves(line)]


def _leaves(line: str) -> bool:
    found = _CALL.match(line)
    if found is None:  # "<... connect resumed>": its beginning had the address
        return False
    call, rest = found.groups()
    if call == "io_uring_setup":  # behind a ring no call is seen
        return " = -1 " not in rest
    addresses = _ADDRESS.findall(rest)
    if not addresses:
        return call in ("connect", "bind") or _NAME_QUESTION.search(rest) is not None
    return any(not _stays(family, fields) for family, fields in addresses)


def _stays(family: str, fields: str) -> bool:
    if family == "AF_UNIX":
        return _NAME_SERVICES.search(fields) is None
    if family not in ("AF_INET", "AF_INET6"):
        return family in _STAYS
    host = _HOST.search(fields)
    if host is None or _PORTS_OF_NAMES.search(fields):
        return False
    address = ipaddress.ip_address(host[1] or host[2])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
