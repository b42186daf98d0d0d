"""``localassist doctor`` over ways of isolating that say what the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment
from localassist.sandbox.verdict import Level, Verdict
from localassist.services import checkup

KERNELS = Environment(Path("/kernels"), Path("/kernels/bin/python"), Path("/usr"))


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
    monkeypatch.setattr(checkup, "PROVIDERS", found)
    monkeypatch.setattr(checkup, "find_environment", lambda settings, home: KERNELS)
    monkeypatch.setattr(checkup, "is_current", lambda settings, home: True)
    return found


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app([*arguments])
    return int(caught.value.code or 0)


def checks(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    run(*arguments, "doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is all(check["status"] != "failed" for check in found["checks"])
    return {check["name"]: check for check in found["checks"]}


@pytest.mark.usefixtures("providers")
def test_a_machine_on_which_all_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    shown = capsys.readouterr().out
    assert "ok      isolation: bubblewrap: bubblewrap works; protection: strong.\n" in shown
    assert "failed" not in shown and "fix:" not in shown


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
    monkeypatch.setattr(checkup, "PROVIDERS", {})
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path / "none"))
    assert run("doctor") == 1
    assert "fix: localassist sandbox build" in capsys.readouterr().out


@pytest.mark.usefixtures("providers")
def test_an_environment_of_an_older_release_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "is_current", lambda settings, home: False)
    found = checks(capsys)["kernel environment"]
    assert (found["status"], found["fix"]) == ("warning", "localassist sandbox build")


@pytest.mark.usefixtures("providers")
def test_the_data_folder_is_tried_and_not_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = tmp_path / "some" / "home"
    assert checks(capsys, "--home", str(home))["data folder"]["status"] == "ok"
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
