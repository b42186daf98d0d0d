"""``localassist doctor``: what it prints, for whom, and how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from localassist.cli import doctor
from localassist.cli.main import app
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment
from localassist.sandbox.verdict import Level, Verdict
from localassist.services import checkup
from localassist.services.checkup import Finding, isolation

KERNELS = Environment(Path("/kernels"), Path("/kernels/bin/python"), Path("/usr"))
NAMES = (
    "python packages llama.cpp models memory data-folder disk database port network "
    "kernel-environment isolation:-bubblewrap processor threads compiler limits clock"
)


class Provider:
    """What ``checkup`` uses of one."""

    verdict: Verdict
    asked_with: list[Environment | None]

    def __init__(self, settings: SandboxSettings) -> None:
        pass

    def probe(self, environment: Environment | None) -> Verdict:
        self.asked_with.append(environment)
        return self.verdict


def provider(name: str, level: Level, ok: bool, *reasons: str, fix: str | None = None) -> type:
    verdict = Verdict(name, level, ok, reasons, fix)
    return type(name, (Provider,), {"verdict": verdict, "asked_with": []})


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """A machine on which bubblewrap works and podman does not; there is an environment."""
    found = {
        "bubblewrap": provider("bubblewrap", "strong", True),
        "podman": provider("podman", "strong", False, "There is no podman.", fix="install it"),
        "landlock": provider("landlock", "reduced", True, "Some things can be seen."),
    }
    monkeypatch.setattr(isolation, "PROVIDERS", found)
    monkeypatch.setattr(isolation, "find_environment", lambda settings, home: KERNELS)
    monkeypatch.setattr(isolation, "is_current", lambda settings, home: True)
    monkeypatch.setenv("LOCALASSIST_SERVER__PORT", "0")
    return found


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app([*arguments])
    return int(caught.value.code or 0)


def checks(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    run(*arguments, "doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"ok", "checks"}
    assert all(set(check) == {"name", "status", "says", "fix"} for check in found["checks"])
    assert found["ok"] is all(check["status"] != "failed" for check in found["checks"])
    return {check["name"]: check for check in found["checks"]}


@pytest.mark.usefixtures("providers")
def test_a_machine_on_which_all_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    shown = capsys.readouterr().out
    assert "ok   isolation: bubblewrap: bubblewrap works; protection: strong.\n" in shown
    assert "-    other isolation: podman, landlock: not chosen, and not tried.\n" in shown
    assert "fail" not in shown


@pytest.mark.usefixtures("providers")
def test_a_program_finds_every_check_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = checks(capsys)
    assert [name.replace("-", " ") for name in NAMES.split()] == [
        name for name, check in found.items() if check["status"] != "unused" or name == "database"
    ]


def test_every_provider_is_tried_with_the_environment(
    providers: dict[str, type], capsys: pytest.CaptureFixture[str]
) -> None:
    found = checks(capsys)
    assert found["isolation: podman"]["status"] == "unused"
    assert found["isolation: podman"]["says"][-1] == "There is no podman."  # type: ignore[index]
    for provider in providers.values():
        assert provider.asked_with == [KERNELS]


def test_what_is_chosen_must_work(
    providers: dict[str, type],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCALASSIST_SANDBOX__PROVIDER", "podman")
    found = checks(capsys)
    assert found["isolation: bubblewrap"]["status"] == "unused"
    assert found["isolation: podman"]["status"] == "failed"
    assert found["isolation: podman"]["fix"] == "install it"
    assert run("doctor") == 1
    assert capsys.readouterr().out.endswith("More: localassist doctor --verbose\n")


@pytest.mark.usefixtures("providers")
def test_less_protection_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALASSIST_SANDBOX__PROVIDER", "landlock")
    assert checks(capsys)["isolation: landlock"]["status"] == "warning"
    assert run("doctor") == 0


def test_a_missing_environment_names_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(isolation, "PROVIDERS", {})
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path / "none"))
    assert run("doctor") == 1
    assert "fix: localassist sandbox build" in capsys.readouterr().out


@pytest.mark.usefixtures("providers")
def test_an_environment_of_an_older_release_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "is_current", lambda settings, home: False)
    found = checks(capsys)["kernel environment"]
    assert found["status"] == "warning" and "localassist sandbox build;" in found["fix"]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is found, whatever there is."""
    findings = [
        Finding("one", "ok", ("All of it is in order.", "A detail.")),
        Finding("two", "warning", ("Something at /a/[b]/c is odd.", "A detail."), "Do this."),
        Finding("three", "unused", ("Not wanted.", "A detail.")),
    ]

    def examine(settings: object, *, thorough: bool) -> Iterator[Finding]:
        yield from findings

    monkeypatch.setattr(checkup, "examine", examine)
    return findings


def test_what_works_takes_a_line_and_what_does_not_says_why(
    found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   one: All of it is in order.",
        "warn two: Something at /a/[b]/c is odd.",
        "     A detail.",
        "     fix: Do this.",
        "-    three: Not wanted.",
        "1 warning. More: localassist doctor --verbose",
    ]
    found += [Finding("four", "failed", ("It is broken.",))] * 2
    assert run("doctor", "--verbose") == 1
    shown = capsys.readouterr().out
    assert shown.count("A detail.") == 3 and shown.endswith("\n2 failures and 1 warning.\n")


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("width", [40, 80])
def test_a_terminal_of_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    terminal = Console(
        file=written, force_terminal=True, width=width, no_color=True, highlight=False
    )
    monkeypatch.setattr(doctor, "console", terminal)
    assert run("doctor", "--verbose") == 0
    lines = [line.rstrip() for line in written.getvalue().replace("\x1b[1m", "").splitlines()]
    assert all(len(line.replace("\x1b[0m", "").replace("\x1b[2m", "")) <= width for line in lines)
    assert all(part in " ".join(lines) for part in ("one:", "/a/[b]/c", "1 warning."))


@pytest.mark.usefixtures("providers")
def test_nothing_is_made_where_there_is_no_data_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = tmp_path / "some" / "home"
    found = checks(capsys, "--home", str(home))
    assert found["data folder"]["status"] == "ok" and found["database"]["status"] == "unused"
    assert not (tmp_path / "some").exists()


@pytest.mark.usefixtures("providers")
def test_a_data_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    found = checks(capsys, "--home", "/proc/home")["data folder"]
    assert found["status"] == "failed" and "/proc cannot be written" in str(found["says"])


@pytest.mark.sandbox
def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    found = checks(capsys)
    assert found["isolation: bubblewrap"]["status"] == "ok"
    says = found["isolation: bubblewrap"]["says"]
    assert isinstance(says, list) and says[0] == "bubblewrap works; protection: strong."
