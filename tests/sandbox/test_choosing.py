"""Which provider is taken, and what is said where it does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox import choosing
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment, find_environment
from localassist.sandbox.providers import PROVIDERS, Provider, bubblewrap, landlock, unsafe
from localassist.sandbox.providers.container import Container
from localassist.sandbox.providers.container_engine import Engine, hint
from localassist.sandbox.verdict import Verdict


@pytest.fixture
def settings(tmp_path: Path) -> SandboxSettings:
    """With an environment that is complete as far as can be seen without starting it."""
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to("/bin/sh")
    ipykernel = folder / "lib" / "python3.11" / "site-packages" / "ipykernel"
    ipykernel.mkdir(parents=True)
    (ipykernel / "__init__.py").touch()
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return SandboxSettings(environment=folder)


def answers(monkeypatch: pytest.MonkeyPatch, name: str, verdict: Verdict) -> None:
    def probe(self: Provider, environment: Environment | None) -> Verdict:
        assert environment is not None
        return verdict

    monkeypatch.setattr(PROVIDERS[name], "probe", probe)


def test_every_name_of_the_setting_has_a_provider() -> None:
    names = SandboxSettings.model_fields["provider"].annotation.__args__  # type: ignore[union-attr]
    assert set(names) == {"auto", *PROVIDERS}
    assert all(PROVIDERS[name].name == name for name in PROVIDERS)


def test_auto_is_bubblewrap(
    settings: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "bubblewrap", Verdict("bubblewrap", "strong", True))
    assert type(choosing.choose(settings, tmp_path)[0]) is bubblewrap.Bubblewrap


def test_nothing_weaker_takes_the_place_of_what_does_not_work(
    settings: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Verdict("bubblewrap", "strong", False, ("It is not there.",), "Install it.")
    answers(monkeypatch, "bubblewrap", refused)
    for name in set(PROVIDERS) - {"bubblewrap"}:
        answers(monkeypatch, name, Verdict(name, "none", True))
    said = r"bubblewrap here\. It is not there\. To change that: Install it"
    with pytest.raises(SandboxUnavailable, match=said):
        choosing.choose(settings, tmp_path)
    named = settings.model_copy(update={"provider": "unsafe"})
    assert type(choosing.choose(named, tmp_path)[0]) is unsafe.Unsafe


def test_without_an_environment_the_command_that_builds_it_is_named(tmp_path: Path) -> None:
    settings = SandboxSettings(environment=tmp_path)
    with pytest.raises(SandboxUnavailable, match="localassist sandbox build"):
        choosing.choose(settings, tmp_path)
    verdict = choosing.verdict_of(settings, tmp_path)
    assert not verdict.ok and "localassist sandbox build" in verdict.reasons[0]


def test_every_provider_gives_a_verdict_without_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {name: each(SandboxSettings()).probe(None) for name, each in PROVIDERS.items()}
    assert all(verdict.provider == name for name, verdict in found.items())
    assert not found["podman"].ok and not found["docker"].ok
    assert found["unsafe"].ok and found["unsafe"].level == "none"
    assert "Nothing is kept from code" in found["unsafe"].reasons[0]


def test_an_engine_that_is_not_installed(
    settings: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = PROVIDERS["docker"](settings).probe(find_environment(settings, tmp_path))
    assert not verdict.ok and verdict.reasons == ("docker is not installed.",)


def fake_engine(tmp_path: Path, name: str, script: str) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_docker_without_its_daemon(
    settings: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
    fake_engine(tmp_path, "docker", f"""echo '{{"ServerErrors": ["{said}"]}}'""")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    provider = PROVIDERS["docker"](settings)
    assert isinstance(provider, Container)
    with pytest.raises(SandboxUnavailable, match="Cannot connect"):
        _ = provider.engine.is_rootless
    assert "Start docker" in hint("docker", said)


def test_an_engine_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine(tmp_path, "podman", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxUnavailable, match="has not answered"):
        Engine("podman").run(["info"], seconds=0.2)


@pytest.mark.parametrize(
    ("version", "uid", "words"),
    [(0, None, "no Landlock"), (2, None, "emptying files"), (2, 64571, None), (3, None, None)],
)
def test_versions_of_landlock_that_are_refused(
    version: int, uid: int | None, words: str | None
) -> None:
    reason = landlock.refusal(version, uid)
    assert reason is None if words is None else words in (reason or "")


def test_gaps_of_landlock_are_named() -> None:
    everything = " ".join(landlock.gaps(3, None, own_view=False))
    assert "/mnt/data" in everything and "Signals" in everything and "dates" in everything
    newest = " ".join(landlock.gaps(7, 64571, own_view=True))
    assert "/mnt/data" not in newest and "Signals" not in newest and "dates" in newest
