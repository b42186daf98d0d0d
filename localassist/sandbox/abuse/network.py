"""The network: services of the host, other machines, other ways to speak."""

from __future__ import annotations

from localassist.sandbox.abuse.case import Case, without

NETWORK = "network-namespace"
CONNECTED = without("seccomp", NETWORK)

CONNECT = """
def hears(family, address):
    with socket.socket(family) as connection:
        connection.settimeout(3)
        connection.connect(address)
        return BAIT['word'] in connection.recv(100).decode() and f'{address!r} answered'
"""

CASES: tuple[Case, ...] = (
    Case(
        "host-tcp",
        "connect to a service of the host on 127.0.0.1",
        NETWORK,
        CONNECT + "attempt(lambda: hears(socket.AF_INET, ('127.0.0.1', BAIT['tcp_port'])))",
        ablation=CONNECTED,
    ),
    Case(
        "host-tcp6",
        "connect to a service of the host on ::1",
        NETWORK,
        CONNECT
        + """
if BAIT['tcp6_port'] is None:
    say('absent', 'this machine has no IPv6')
else:
    attempt(lambda: hears(socket.AF_INET6, ('::1', BAIT['tcp6_port'])))
""",
        ablation=CONNECTED,
    ),
    Case(
        "host-udp",
        "exchange packets with a service of the host",
        NETWORK,
        """
        def exchange():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(3)
                speaker.sendto(b'hello', ('127.0.0.1', BAIT['udp_port']))
                return BAIT['word'] in speaker.recv(100).decode() and 'the service answered'
        attempt(exchange)
        """,
        ablation=CONNECTED,
    ),
    Case(
        "host-unix",
        "connect to a unix socket of the host by its path",
        "private-root",
        CONNECT + "attempt(lambda: hears(socket.AF_UNIX, BAIT['unix_path']))",
        ablation=without("seccomp", "private-root"),
    ),
    Case(
        "host-abstract-unix",
        "connect to an abstract unix socket of the host",
        NETWORK,
        CONNECT + "attempt(lambda: hears(socket.AF_UNIX, '\\0' + BAIT['abstract_name']))",
        ablation=CONNECTED,
    ),
    Case(
        "names",
        "look up a name",
        NETWORK,
        "attempt(lambda: socket.getaddrinfo('example.com', 80))",
    ),
    Case(
        "other-machines",
        "connect to another machine, over IPv4 and IPv6",
        NETWORK,
        CONNECT
        + """
attempt(lambda: hears(socket.AF_INET, ('192.0.2.1', 80)),
        lambda: hears(socket.AF_INET6, ('2001:db8::1', 80)))
""",
    ),
    Case(
        "cloud-metadata",
        "ask the metadata service of a cloud for credentials",
        NETWORK,
        CONNECT + "attempt(lambda: hears(socket.AF_INET, ('169.254.169.254', 80)))",
    ),
    Case(
        "listen",
        "offer a service to the network",
        "seccomp",
        """
        def offer():
            with socket.socket() as listener:
                listener.bind(('0.0.0.0', 0))
                listener.listen()
                return f'listens at {listener.getsockname()}'
        attempt(offer)
        """,
        ablation=without("seccomp"),
    ),
    Case(
        "odd-sockets",
        "open netlink, packet, raw, vsock, Bluetooth, CAN and other sockets",
        "seccomp",
        """
        families = (socket.AF_NETLINK, socket.AF_PACKET, 40, 31, 29, 38, 44, socket.AF_UNIX)
        def opened(*kind):
            with socket.socket(*kind) as one:
                return f'opened family {one.family}'
        attempt(*[lambda family=family: opened(family, socket.SOCK_DGRAM) for family in families],
                lambda: opened(socket.AF_INET, socket.SOCK_RAW, 1),
                lambda: opened(socket.AF_NETLINK, socket.SOCK_RAW, 0))
        """,
        ablation=without("seccomp"),
    ),
    Case(
        "connection-tables",
        "see the host's connections and interfaces in /proc/net",
        NETWORK,
        """
        def seen():
            with open('/proc/net/tcp') as stream:
                if f":{BAIT['tcp_port']:04X} " in stream.read():
                    yield 'tcp'
            with open('/proc/net/unix') as stream:
                if BAIT['abstract_name'] in stream.read():
                    yield 'unix'
        attempt(lambda: ' '.join(seen()))
        """,
        ablation=without(NETWORK),
    ),
)
