"""What ``localassist deploy`` prints is what systemd and a container engine take."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localassist import deploy
from localassist.cli.main import app
from localassist.cli.output import EXIT_USAGE
from localassist.errors import ConfigError
from localassist.server import notify
from localassist.settings import load_settings
from tests.conformance.serving import ROOT, clean_environ, scripted_settings
from tests.server.serving import Stage, on_socket

READY_SECONDS = 60
INSTRUCTIONS = {*"ARG FROM COPY ENV RUN USER WORKDIR VOLUME EXPOSE".split()}
INSTRUCTIONS |= {*"STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD".split()}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        app([*arguments])
    return capsys.readouterr().out


def values(unit: str) -> dict[str, str]:
    """The settings of a unit; of those that are given twice, the last."""
    lines = (line for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_the_unit_has_the_real_paths_and_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALASSIST_SERVER__SHUTDOWN_SECONDS", "90")
    home = "/var/lib/localassist"
    said = values(printed(capsys, "--home", home, "deploy", "systemd", "--user", "anna"))
    program, *arguments = shlex.split(said["ExecStart"])
    assert Path(program).exists() and program.startswith(sys.prefix)
    assert arguments[-3:] == ["--home", home, "serve"]
    assert (said["User"], said["ReadWritePaths"], said["Type"]) == ("anna", home, "notify")
    assert int(said["TimeoutStopSec"]) > 90 + 5
    assert said["IPAddressAllow"] == "localhost"
    assert said["RestartPreventExitStatus"] == str(EXIT_USAGE)
    # What the code interpreter cannot live with, see docs/operations.md.
    forbidden = {"RestrictNamespaces", "ProtectKernelTunables", "ProtectHostname", "ProcSubset"}
    assert not forbidden & set(said)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("server", {"host": "0.0.0.0"}),
        ("storage", {"url": "postgresql+psycopg://db/x"}),
        ("tracing", {"endpoint": "http://collector:4317"}),
    ],
)
def test_a_service_that_needs_others_is_not_cut_off(
    tmp_path: Path, section: str, value: dict[str, str]
) -> None:
    unit = deploy.systemd_unit(load_settings(tmp_path, **{section: value}), "anna")
    assert "IPAddressDeny" not in values(unit)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("folder", ["data", 'my "data" %h $HOME; \\x ünd'])
def test_systemd_takes_the_unit(tmp_path: Path, folder: str) -> None:
    home = tmp_path / folder
    home.mkdir()
    file = tmp_path / "localassist.service"
    file.write_text(deploy.systemd_unit(load_settings(home), "root"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=40", file]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-300:]


@pytest.mark.parametrize("user", ["", "a b", "root\nExecStart=/bin/sh", "-x", "Größe"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigError, match="not a user name"):
        deploy.systemd_unit(load_settings(tmp_path), user)


def test_a_path_that_breaks_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot hold"):
        deploy.systemd_unit(load_settings(tmp_path / "a\nUser=root"), "anna")


def test_an_upgrade_in_place_is_what_the_unit_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "versions" / "1.0"
    (version / "bin").mkdir(parents=True)
    (version / "bin" / "localassist").touch()
    (tmp_path / "current").symlink_to(version)
    monkeypatch.setattr(sys, "prefix", str(version))
    said = values(deploy.systemd_unit(load_settings(tmp_path / "home"), "anna"))
    assert said["ExecStart"].split()[0] == str(tmp_path / "current" / "bin" / "localassist")
    assert said["ProtectHome"] in ("yes", "read-only")


@pytest.mark.model
def test_the_units_command_gets_ready_and_stops_when_it_is_told(tmp_path: Path) -> None:
    """As the service manager does it, but for the walls."""
    settings = load_settings(tmp_path / "my data", server={"port": 0})
    command = values(deploy.systemd_unit(settings, "anna"))["ExecStart"].replace("$$", "$")
    environ = clean_environ() | {"LOCALASSIST_SERVER__PORT": "0"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(READY_SECONDS)
        environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with subprocess.Popen(shlex.split(command), cwd=ROOT, env=environ) as process:
            try:
                assert manager.recv(4096).decode() == notify.READY
                process.send_signal(signal.SIGTERM)
                assert manager.recv(4096).decode() == notify.STOPPING
                assert process.wait(READY_SECONDS) == 0
            finally:
                process.kill()


@pytest.mark.parametrize("source", ["bundle", "checkout"])
def test_the_containerfile(capsys: pytest.CaptureFixture[str], source: str) -> None:
    text = printed(capsys, "deploy", "container", "--from", source)
    joined = re.sub(r" *\\\n *", " ", text)
    steps = [line.split(" ", 1) for line in joined.splitlines() if line and line[0] != "#"]
    names = [name for name, _ in steps]
    assert set(names) <= INSTRUCTIONS
    assert names.count("FROM") == 2
    given = dict(steps)
    assert given["USER"].split(":")[0].isdecimal() and given["USER"] != "0:0"
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert json.loads(given["ENTRYPOINT"]) == ["localassist"]
    assert json.loads(given["CMD"])[0] == "serve"
    assert given["STOPSIGNAL"] == "SIGTERM" and "STOP_SECONDS" not in text
    # What the second image copies, the first one has, also with nothing to install there.
    assert re.search(r"mkdir -p .*/var/lib/localassist", joined.split("\nFROM ")[1])
    assert "${BUILD_IMAGE}" in text and "$$" not in text


def test_the_health_check_sees_whether_it_serves(tmp_path: Path) -> None:
    text = deploy.containerfile(load_settings(tmp_path), "bundle")
    found = re.search(r"HEALTHCHECK .*\n\s*CMD (\[.*\])", text)
    assert found is not None
    _, *arguments = json.loads(found[1])
    with on_socket(scripted_settings(tmp_path / "home"), Stage()) as client:
        check = [one.replace(":8000", f":{client.base_url.port}") for one in arguments]
        assert subprocess.run([sys.executable, *check], env=os.environ).returncode == 0
    gone = subprocess.run([sys.executable, *check], capture_output=True)
    assert gone.returncode != 0


def test_the_templates_are_part_of_the_package() -> None:
    """Beside the module, where the build takes all that lies in the package."""
    names = {path.name for path in Path(deploy.__file__).parent.iterdir()}
    assert {"localassist.service", "Containerfile.bundle", "Containerfile.checkout"} <= names
