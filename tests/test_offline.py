"""What reports and looks up is off, and what is sealed reaches nobody that was not named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localassist import offline

ROOT = Path(__file__).parents[1]
# Prints whether each way out was refused by us. None leads further than a resolver or a router:
# the addresses are those of documentation.
REACH = """
import socket
from localassist import offline
def refused(reach):
    try:
        reach()
    except socket.gaierror:
        return False
    except OSError as error:
        return "does not reach other machines" in str(error)
    return False
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.setblocking(False)
"""


def python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize(
    "reach",
    [
        "socket.create_connection(('192.0.2.1', 80), 0.01)",
        "udp.sendto(b'', ('192.0.2.1', 9))",
        "udp.sendmsg([b''], [], 0, ('192.0.2.1', 9))",
        "udp.connect_ex(('192.0.2.1', 9)) and None",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect(('2001:db8::1', 9))",
        "socket.getaddrinfo('localassist.example', 80)",
        "socket.getaddrinfo(b'localassist.example', 80)",
        "socket.gethostbyname('localassist.example')",
        "socket.gethostbyaddr('192.0.2.1')",
        "socket.getnameinfo(('192.0.2.1', 80), 0)",
    ],
)
def test_a_sealed_process_reaches_no_other_machine(reach: str) -> None:
    done = python(f"{REACH}offline.seal()\nprint(refused(lambda: {reach}))")
    assert done.stdout == "True\n"
    assert done.stderr.count("refused to reach") == 1


def test_this_machine_is_reached() -> None:
    code = """
from localassist import offline
offline.seal()
import asyncio, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        socket.create_connection((host, port), 5).close()
one, other = socket.socketpair()
one.sendmsg([b"x"])
socket.getaddrinfo(None, 80, flags=socket.AI_PASSIVE)
socket.getaddrinfo("192.0.2.1", 80, flags=socket.AI_NUMERICHOST)  # asks nobody
print(other.recv(1), socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)[0])
"""
    assert python(code).stdout == "b'x' 127.0.0.1\n"


@pytest.mark.parametrize(
    ("named", "host", "by_address", "is_reached"),
    [
        ("http://192.0.2.1:8080/v1", "192.0.2.1", True, True),
        ("http://192.0.2.1:8080/v1", "198.51.100.7", True, False),
        ("http://192.0.2.1:8080/v1", "models.example", False, False),
        ("https://Models.Example", "models.example", False, True),
        ("postgresql+psycopg://user:pw@models.example/db", "models.example", False, True),
        ("models.example", "other.example", False, False),
        # Where a name leads is not known beforehand.
        ("models.example", "198.51.100.7", True, True),
        ("sqlite:////data/localassist.db", "192.0.2.1", True, False),
        (None, "192.0.2.1", True, False),
    ],
)
def test_what_was_named_may_be_reached(
    named: str | None,
    host: str,
    by_address: bool,
    is_reached: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offline, "_allowed", set())
    offline.allow(named)
    assert offline._may_reach(host, by_address) == is_reached


def test_whoever_asks_for_it_may_go_anywhere() -> None:
    code = f"""{REACH}
offline.seal()
offline.seal()
offline.unseal()
print(refused(lambda: udp.connect(("192.0.2.1", 9))))
offline.seal()
print(refused(lambda: udp.connect(("192.0.2.1", 9))))
"""
    assert python(code).stdout.split() == ["False", "True"]


def test_a_library_cannot_be_told_otherwise_by_the_environment() -> None:
    code = """
import huggingface_hub.constants as hub
before = hub.HF_HUB_OFFLINE
from localassist import offline
offline.switch_off()
from huggingface_hub.utils import _http, send_telemetry
try:
    import openvino_telemetry
    print("reports")
except ImportError:
    print(before, hub.is_offline_mode(), hub.HF_HUB_DISABLE_TELEMETRY)
"""
    environ = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "0"}
    assert python(code, **environ).stdout == "False True True\n"


def test_importing_the_package_alone_changes_nothing() -> None:
    code = "import os; old = dict(os.environ); import localassist; print(old == dict(os.environ))"
    assert python(code).stdout == "True\n"


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.argv = ['localassist', '--version']\n"
        "from localassist.cli import main\n"
        "try: main.main()\nexcept SystemExit: pass",
        "import io, sys; sys.stdin = io.StringIO('{}')\n"
        "from localassist.child import read_request\nread_request()",
    ],
)
def test_our_own_processes_are_sealed(code: str) -> None:
    done = python(f"{code}\nfrom localassist import offline\nprint(offline._is_sealed)")
    assert done.stdout.endswith("True\n")


def test_functions_of_the_user_go_where_they_like(tmp_path: Path) -> None:
    file = tmp_path / "weather.py"
    file.write_text("def weather(city: str) -> str:\n    return city\n")
    code = f"""
from pathlib import Path
from localassist import offline
from localassist.cli.chat.tool_file import load_tools
offline.seal()
load_tools(Path({str(file)!r}))
print(offline._is_sealed)
"""
    assert python(code).stdout == "False\n"


def test_chroma_takes_nothing_from_its_surroundings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CHROMA_SERVER_HOST=192.0.2.1\nALLOW_RESET=true\n")
    code = """
from localassist.retrieval.indexes.chroma import _settings
made = _settings()
print(made.anonymized_telemetry, made.chroma_server_host, made.allow_reset,
      made.chroma_otel_granularity, made.chroma_api_impl.rpartition(".")[2])
"""
    environ = {
        "ANONYMIZED_TELEMETRY": "True",
        "CHROMA_OTEL_GRANULARITY": "all",
        "CHROMA_OTEL_COLLECTION_ENDPOINT": "http://192.0.2.1:4317",
        "CHROMA_API_IMPL": "chromadb.api.fastapi.FastAPI",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "False None False None RustBindingsAPI\n", done.stderr
