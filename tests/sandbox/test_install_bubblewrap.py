"""What ``make setup`` does about bubblewrap, on machines made of a few programs that note how they
were called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from localassist.sandbox.guest import guest_folder

SCRIPT = guest_folder() / "install_bubblewrap.sh"


class Machine:
    """Only what is put into its folder of programs is there."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.calls.touch()
        self._programs = folder / "bin"
        self._programs.mkdir()
        self.put("uname", "echo Linux")
        self.put("id", "echo 1000")

    def put(self, name: str, does: str = "exit 0") -> None:
        program = self._programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{does}\n')
        program.chmod(0o755)

    def set_up(self) -> str:
        """Run the script; returns what it says."""
        done = subprocess.run(
            ["/bin/sh", SCRIPT],
            env={"PATH": str(self._programs)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "")
        return done.stderr

    def called(self, program: str) -> list[str]:
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if line.split()[0] == program]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_happens_where_it_is_there(machine: Machine) -> None:
    machine.put("bwrap")
    machine.put("apt-get")
    assert machine.set_up() == "" and machine.called("apt-get") == []


def test_nothing_happens_on_another_system(machine: Machine) -> None:
    machine.put("uname", "echo Darwin")
    machine.put("apt-get")
    assert machine.set_up() == "" and machine.called("apt-get") == []


@pytest.mark.parametrize(
    ("manager", "install"),
    [
        ("apt-get", "apt-get install -y bubblewrap"),
        ("dnf", "dnf install -y bubblewrap"),
        ("pacman", "pacman -S --noconfirm bubblewrap"),
    ],
)
def test_root_installs_it(machine: Machine, manager: str, install: str) -> None:
    machine.put("id", "echo 0")
    machine.put(manager)
    machine.set_up()
    assert machine.called(manager) == [install]


def test_sudo_without_a_password_installs_it(machine: Machine) -> None:
    machine.put("sudo", 'shift; "$@"')
    machine.put("apt-get")
    machine.put("true")
    machine.set_up()
    assert machine.called("apt-get") == ["apt-get install -y bubblewrap"]
    assert machine.called("sudo")[-1] == "sudo -n apt-get install -y bubblewrap"


def test_the_list_of_packages_is_fetched_where_it_is_needed(machine: Machine) -> None:
    machine.put("id", "echo 0")
    machine.put(
        "apt-get", '[ "$1" = update ] || [ -e ${0}.updated ] || { : > ${0}.updated; exit 100; }'
    )
    assert "could not" not in machine.set_up()
    calls = [call.split()[1] for call in machine.called("apt-get")]
    assert calls == ["install", "update", "install"]


def test_a_failed_installation_names_the_command(machine: Machine) -> None:
    machine.put("id", "echo 0")
    machine.put("dnf", "exit 1")
    assert machine.set_up().endswith("Try: dnf install -y bubblewrap\n")


@pytest.mark.parametrize("has_sudo", [True, False])
def test_without_rights_the_command_is_said(machine: Machine, has_sudo: bool) -> None:
    if has_sudo:
        machine.put("sudo", "exit 1")  # asks for a password
    machine.put("apt-get")
    assert machine.set_up().endswith("Install it: sudo apt-get install -y bubblewrap\n")
    assert machine.called("apt-get") == []


def test_an_unknown_system_is_told_what_is_missing(machine: Machine) -> None:
    assert "needs bubblewrap" in machine.set_up()
