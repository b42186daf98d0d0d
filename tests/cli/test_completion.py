"""Completion, by the shells themselves."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localassist.cli.main import COMMANDS
from localassist.client.client import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.storage import glimpse
from localassist.storage.config import StorageSettings
from tests.conformance.serving import ROOT, clean_environ

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

BASH = """
eval "$(localassist completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_localassist_completion localassist
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# Its completion system needs a terminal; what it would be told is looked at.
ZSH = """
compdef() {{ :; }}
_arguments() {{ print -- "$@"; }}
_files() {{ :; }}
eval "$(localassist completion zsh)"
words=({words}); CURRENT=$#words
_localassist_completion
"""
FISH = 'localassist completion fish | source; complete -C "{words}"'


@pytest.fixture
def environ(tmp_path: Path, localassist_home: Path) -> dict[str, str]:
    """With ``localassist`` on the path, and a data folder in which there is something."""
    program = tmp_path / "bin" / "localassist"
    program.parent.mkdir()
    start = "import sys; from localassist.cli.main import main; sys.argv[0] = 'localassist'; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    home = {"LOCALASSIST_HOME": str(localassist_home), "HOME": str(tmp_path)}
    return clean_environ() | home | {"PATH": path, "PYTHONPATH": str(ROOT)}


def completed(shell: str, words: str, environ: dict[str, str]) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(words=words)
    bare = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    command = [program, *bare, "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str, environ: dict[str, str]) -> None:
    out = completed(shell, "localassist assis", environ)
    assert "assistants" in out and "doctor" not in out


def test_names_are_completed(
    engine: ScriptedEngine, environ: dict[str, str], localassist_home: Path
) -> None:
    with LocalAssist(localassist_home) as client:
        client.beta.assistants.create(model="gpt-4o", name="desk")
        client.beta.assistants.create(
            model="gpt-4o", name="Chat", metadata={"thread_id": "thread_x"}
        )
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "First\nwords"}])
    assert completed("bash", "localassist chat -a ''", environ).split() == ["desk"]
    assert completed("bash", "localassist chat --resume thread_", environ).split() == [thread.id]
    models = completed("bash", "localassist ask Why --model smol", environ).split()
    assert models == ["smollm2-135m-instruct"]
    named = glimpse.recent_threads(localassist_home, StorageSettings())
    assert named == [(thread.id, "First\nwords")]


def test_nothing_that_is_offered_is_a_command(
    engine: ScriptedEngine, environ: dict[str, str], localassist_home: Path, tmp_path: Path
) -> None:
    """A name or a first message is anybody's; a shell evaluates what it is offered."""
    touch = f"$(touch {tmp_path}/p)"
    with LocalAssist(localassist_home) as client:
        for name in (touch, f"`touch {tmp_path}/p`", "a;b", "two words", "plain-1"):
            client.beta.assistants.create(model="gpt-4o", name=name)
        for said in (touch, "\\" + touch, f"\\\\`touch {tmp_path}/p`", "[/x] \x1b]0;x\x07 'q'"):
            client.beta.threads.create(messages=[{"role": "user", "content": said}])
    assert completed("bash", "localassist chat -a ''", environ).split() == ["plain-1"]
    for words in ("localassist chat -a ''", "localassist chat --resume thread_"):
        said = completed("zsh", words, environ)
        evaluated = said.partition("((")[2].rpartition("))")[0]
        assert evaluated
        done = subprocess.run(
            ["zsh", "-fc", f"eval ws=\\( {shlex.quote(evaluated)} \\); print -r -- $ws"],
            capture_output=True,
            text=True,
        )  # as _arguments does
        assert done.returncode == 0 and "\x1b" not in done.stdout, done.stderr
    assert not (tmp_path / "p").exists()


def test_without_a_data_folder_nothing_is_offered_or_made(
    environ: dict[str, str], tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    words = f"localassist --home {nowhere} chat -a ''"
    assert completed("bash", words, environ).split() == []
    assert not nowhere.exists()


def test_completing_a_name_loads_no_other_command(environ: dict[str, str]) -> None:
    """Somebody waits between two keys."""
    code = (
        "import sys; from localassist.cli.main import main; sys.argv[0] = 'localassist'\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    asked = {"COMP_WORDS": "localassist ask --model smol", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ | asked | {"_LOCALASSIST_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["smollm2-135m-instruct"]
    loaded = set(done.stderr.split())
    commands = {name.removeprefix("localassist.cli.").partition(".")[0] for name in loaded}
    assert commands & {module for module, _ in COMMANDS.values()} == {"ask", "chat", "completion"}
    assert not loaded & {"asyncio", "numpy", "openai", "prompt_toolkit", "sqlalchemy", "starlette"}
