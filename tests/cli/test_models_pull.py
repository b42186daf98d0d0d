"""``localassist models pull``, ``set``, ``edit``, ``check``, ``recommend``, as users do it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.registry.catalog import Catalog
from tests.cli.test_models import Run, model_file, words
from tests.registry.gguf_files import gguf
from tests.registry.pull.hub_imitation import REPO, Behaviour, hub

MODEL = gguf(weights_bytes=3000)
CHAT = "smollm2-135m-instruct"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path / "home", monkeypatch, capsys)


@pytest.fixture
def server() -> Behaviour:
    return Behaviour(files={"tiny-Q4_K_M.gguf": MODEL, "tiny-Q8_0.gguf": MODEL, "mmproj.gguf": b""})


@pytest.fixture
def url(server: Behaviour) -> Iterator[str]:
    with hub(server) as url:
        yield url


def test_of_several_one_is_chosen_and_then_shown(run: Run, url: str) -> None:
    code, out, err = run("pull", REPO, "--mirror", url)
    assert code == 2
    assert "tiny-Q4_K_M.gguf" in out and "Q8_0" in out
    assert "choose one with --quant or --file" in err and "mmproj.gguf is an image" in err
    assert run("pull", REPO, "--mirror", url, "--list")[0] == 0
    code, out, _ = run("pull", REPO, "--mirror", url, "--quant", "q4_k_m")
    assert (code, out.splitlines()[0]) == (0, "Added tiny-q4_k_m (3.6 kB, licence mit).")
    assert f"SHA-256 {hashlib.sha256(MODEL).hexdigest()}, which is the hub's sum." in out
    assert "origin added, hf:acme/Tiny-GGUF@c0ffee000000/tiny-Q4_K_M.gguf" in words(
        run("show", "tiny-q4_k_m")[1]
    )
    assert "is here already" in run("pull", REPO, "--mirror", url, "--quant", "q4_k_m")[1]


def test_a_failure_is_one_line_and_exit_code_1(run: Run, url: str, server: Behaviour) -> None:
    server.page = b"<html>"
    code, out, err = run("pull", f"{url}/mirror/tiny-Q8_0.gguf")
    assert (code, out) == (1, "")
    assert "is a web page, not a model" in words(err)


def test_without_a_sum_that_is_said(run: Run, url: str) -> None:
    out = run("pull", f"{url}/mirror/tiny-Q8_0.gguf")[1]
    assert "compared with nothing" in out


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_pull_that_is_ended_goes_on(
    run: Run, tmp_path: Path, url: str, server: Behaviour, name: str
) -> None:
    """The server waits in the middle of the file until the process is gone."""
    server.stall_after = 2000
    command = [sys.executable, "-m", "localassist", "--home", str(run.home), "models", "pull"]
    process = subprocess.Popen(
        [*command, f"{url}/mirror/tiny-Q8_0.gguf"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(run.home.glob("models/files/.pull-*/*.part")) or held(run.home) < 2000:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    said = process.communicate(timeout=60)[1]
    server.stall_after = None
    server.released.set()
    if name == "SIGINT":
        assert process.returncode == 130
        assert "are kept: give the same command again to go on" in " ".join(said.split())
    assert "tiny-q8_0" not in [model.id for model in Catalog(run.home).list()]
    assert run("pull", f"{url}/mirror/tiny-Q8_0.gguf")[0] == 0
    assert server.ranges[-1] == "bytes=2000-"
    assert not list(run.home.glob("models/files/.pull-*"))


def held(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("models/files/.pull-*/*.part"))


def test_defaults_are_set_and_shown(run: Run, tmp_path: Path) -> None:
    run("add", model_file(tmp_path))
    code, out, _ = run("set", "tiny", "temperature=0.5", "system_prompt=Be brief.")
    assert (code, out.splitlines()[0]) == (0, "temperature of tiny is set.")
    shown = words(run("show", "tiny")[1])
    assert "system_prompt Be brief." in shown and "sampling temperature 0.5" in shown
    code, out, err = run("set", CHAT, "heat=1")
    assert (code, out) == (2, "") and "`heat` cannot be set" in words(err)
    assert f"remove {CHAT} brings" in words(run("set", CHAT, "temperature=1")[2])


def test_a_manifest_is_edited(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", model_file(tmp_path))
    editor = tmp_path / "editor"

    def edits(script: str) -> tuple[int, str, str]:
        editor.write_text(
            f"#!{sys.executable}\nimport sys, pathlib\np = pathlib.Path(sys.argv[1])\n{script}"
        )
        editor.chmod(0o700)
        monkeypatch.setenv("VISUAL", str(editor))
        return run("edit", "tiny")

    assert "Nothing was changed" in edits("")[1]
    assert edits("p.write_text('size_bytes = 1\\n' + p.read_text())")[0] == 2
    code, out, _ = edits("p.write_text(p.read_text().replace('mit', 'apache'))")
    assert (code, out) == (0, "tiny is changed.\n")
    assert Catalog(run.home).get("tiny").licence == "apache"
    code, _, err = edits("p.write_text('[')")
    assert code == 2 and "tiny.toml is not valid TOML" in words(err)
    assert Catalog(run.home).get("tiny").licence == "apache"


def test_a_check_that_fails_says_so_to_people_and_programs(run: Run, tmp_path: Path) -> None:
    path = model_file(tmp_path)
    run("add", path)
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = run("check", "tiny")
    assert code == 1 and "fail files: tiny.gguf is truncated" in words(out)
    code, out, _ = run("check", "tiny", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["models"][0]["checks"][0]["verdict"]) == (1, False, "fail")


def test_recommended_models_are_listed_for_people_and_programs(run: Run) -> None:
    found = json.loads(run("recommend", "--all", "--json")[1])["recommended"]
    assert {one["ram_gb"] for one in found} == {4, 8, 16, 32, 64}
    out = run("recommend", "--ram", "16")[1]
    assert "Qwen2.5-7B-Instruct Q4_K_M" in out
    assert run("recommend", "--ram", "1")[0] == 1
