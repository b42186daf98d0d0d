"""Lines as strace writes them: which lead off the machine."""

from __future__ import annotations

import pytest

from tests.egress.trace import departures


@pytest.mark.parametrize(
    "line",
    [
        '12 connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, '
        "16) = -1 EINPROGRESS (Operation now in progress)",
        "12 connect(4, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0',
        '12 connect(4, {sa_family=AF_UNIX, sun_path="/run/kernel-1"}, 66) = 0',
        '12 connect(4, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = 0',
        r'12 sendto(4, "\2\0\0\0\v\0\0\0\7\0\0\0passwd\0", 19, MSG_NOSIGNAL, NULL, 0) = 19',
        "12 bind(3, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 0",
        "12 connect(3, {sa_family=AF_UNSPEC, "
        'sa_data="\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0"}, 16) = 0',
        '12 sendto(5, "GET / HTTP/1.1"..., 120, MSG_NOSIGNAL, NULL, 0) = 120',
        "12 <... connect resumed>) = 0",
        "12 io_uring_setup(256, {flags=0, ...}) = -1 ENOSYS (Function not implemented)",
        "12 +++ exited with 0 +++",
    ],
)
def test_what_stays(line: str) -> None:
    assert departures(line) == []


@pytest.mark.parametrize(
    "line",
    [
        '12 connect(4, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, '
        "16 <unfinished ...>",
        "12 connect(4, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "::ffff:192.0.2.1", &sin6_addr), sin6_scope_id=0}, 28) = -1 EINTR',
        '12 connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, '
        "16) = 0",
        '12 connect(4, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42)'
        " = 0",
        '12 sendto(4, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(9), '
        'sin_addr=inet_addr("10.0.0.1")}, 16) = 1',
        "12 sendmmsg(4, [{msg_hdr={msg_name={sa_family=AF_INET, sin_port=htons(123), "
        'sin_addr=inet_addr("192.0.2.7")}, msg_namelen=16}}], 1, 0) = 1',
        '12 bind(3, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("0.0.0.0")}, 16) '
        "= 0",
        "12 bind(3, {sa_family=AF_PACKET, sll_protocol=htons(ETH_P_ALL)}, 20) = 0",
        "12 connect(4, 0x7ffd1234, 16) = 0",
        r'12 sendto(4, "\2\0\0\0\r\0\0\0\6\0\0\0hosts\0", 18, MSG_NOSIGNAL, NULL, 0) = 18',
        "12 io_uring_setup(256, {flags=0, sq_thread_cpu=0}) = 5",
        "connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=???}, 16) = 0",
    ],
)
def test_what_leaves(line: str) -> None:
    kept = '12 connect(4, {sa_family=AF_UNIX, sun_path="/run/x"}, 66) = 0'
    assert departures(f"{kept}\n{line}\n{kept}\n") == [line]
