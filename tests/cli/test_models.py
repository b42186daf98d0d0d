"""``localassist models``, driven as a user drives it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localassist.cli.main import main
from localassist.registry.catalog import Catalog
from localassist.registry.tool_modes import Finding, ToolModeMemory
from tests.engine.remote.serving import app_on_thread
from tests.engine.remote.vllm_imitation import MODEL, Vllm
from tests.registry.gguf_files import gguf

CHAT = "smollm2-135m-instruct"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path / "home", monkeypatch, capsys)


class Run:
    """Call the command; the exit code and what it wrote to stdout and stderr."""

    def __init__(
        self,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.home, self._monkeypatch, self._capsys = home, monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        argv = ["localassist", "--home", str(self.home), "models", *map(str, arguments)]
        self._monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self._capsys.readouterr()
        code = caught.value.code
        return (0 if code is None else int(code)), out, err


def model_file(folder: Path, name: str = "tiny.gguf") -> Path:
    path = folder / name
    path.write_bytes(gguf())
    return path


def test_list_shows_the_embedded_models(run: Run) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert "all-minilm-l6-v2" in out
    assert out.count("shipped") == 2


def test_a_model_from_add_to_remove(run: Run, tmp_path: Path) -> None:
    path = model_file(tmp_path)
    assert run("add", path)[0] == 0
    assert run("default", "tiny")[0] == 0
    code, out, _ = run("show", "gpt-4o")
    assert (code, out.split()[:2]) == (0, ["id", "tiny"])
    assert run("remove", "tiny")[0] == 0
    assert "tiny" not in run("list")[1]
    assert path.exists()


def test_text_from_a_model_file_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "[red]x.gguf"
    path.write_bytes(gguf(general__name="[bold]x", general__license="[i]mit"))
    assert run("add", path, "--name", "odd")[0] == 0
    assert "[i]mit" in run("list")[1]
    out = run("show", "odd")[1]
    assert "[bold]x" in out
    assert str(path) in out


def test_a_copy_survives_its_original(run: Run, tmp_path: Path) -> None:
    path = model_file(tmp_path)
    assert run("add", path, "--copy", "--name", "mine")[0] == 0
    path.unlink()
    assert run("show", "mine")[0] == 0


def test_a_model_on_a_server_is_added_and_shown(run: Run) -> None:
    with app_on_thread(Vllm().app) as url:
        code, out, _ = run("add-server", url, "--model", MODEL, "--tool-mode", "native")
    assert (code, out.splitlines()[0]) == (
        0,
        "Added far-7b (vllm, 400 tokens, keeps to function calls and JSON schemas, "
        "tool mode native).",
    )
    assert "server" in run("list")[1]
    assert url in run("show", "far-7b")[1]


def test_how_a_model_calls_functions_is_chosen_and_shown(run: Run, tmp_path: Path) -> None:
    path = model_file(tmp_path)
    assert run("add", path, "--tool-mode", "native")[0] == 0
    assert "tool_mode native" in words(run("show", "tiny")[1])
    assert " native " in run("list")[1]
    assert run("add", path)[0] == 0
    assert "tool_mode auto" in words(run("show", "tiny")[1])
    found = Finding("guided", 0.25, 1.0)
    ToolModeMemory(run.home).remember(Catalog(run.home).get("tiny"), None, found)
    shown = words(run("show", "tiny")[1])
    assert "tool_mode guided (auto: 25% right calls, 100% left alone)" in shown
    assert words(run("list")[1]).count(" guided ") == 2


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "absent.gguf"), "does not exist"),
        (("add", "."), "holds 2 models; choose one with --file: text.gguf, tiny.gguf"),
        (("add", "text.gguf"), "not a GGUF file"),
        (("show", "absent"), "`absent` does not exist"),
        (("remove", "absent"), "`absent` does not exist"),
        (("remove", CHAT), "cannot be removed"),
        (("default", "absent"), "`absent` does not exist"),
        (("add-server", "http://127.0.0.1:9"), "does not answer. Start it"),
        (("add-server", "127.0.0.1:9"), "server: "),
        (("add", "tiny.gguf", "--tool-mode", "magic"), "`magic` is not native, guided, none"),
        (("add", "tiny.gguf", "--name", "A[b]"), "`A[b]` cannot be a model's name"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    model_file(tmp_path)
    (tmp_path / "text.gguf").write_text("text")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
