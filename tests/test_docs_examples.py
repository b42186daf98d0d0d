"""Every example of the documentation does what it says: code runs, commands and files are valid."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Match, Route
from typer.main import get_command

from localassist import load_settings
from localassist.chat.formats import FORMATS
from localassist.cli.main import app
from localassist.client import host
from localassist.engine import ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.parsers.registry import PARSERS
from localassist.sandbox.providers import PROVIDERS
from localassist.server.routes import ROUTES, docs
from localassist.settings import Settings
from tests.docs_examples import DOCUMENTS, Block, all_blocks, localassist_commands, shell_commands
from tests.docs_pages import DOCS, ROOT, commands
from tests.server.serving import Stage, on_socket, scripted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMANDS = dict(commands())
COMMAND_LINE = get_command(app)
ANSWER = "Because of how air scatters light."
SHELL = ("", "bash", "sh", "console")
# What is checked below, and what needs no check: `text` and trees are what somebody reads.
LANGUAGES = {*SHELL, "python", "js", "toml", "json", "yaml", "csv", "text"}


def examples(*languages: str) -> Any:
    found = all_blocks(*languages)
    marks = [
        [pytest.mark.sandbox] if "localassist.sandbox" in block.source else [] for block in found
    ]
    return pytest.mark.parametrize(
        "block",
        [pytest.param(block, id=block.id, marks=m) for block, m in zip(found, marks, strict=True)],
    )


def test_every_language_is_one_that_is_checked() -> None:
    odd = [block.id for block in all_blocks() if block.language not in LANGUAGES]
    assert not odd, "check this language here, or call it text"


def test_what_is_not_run_says_why() -> None:
    for block in all_blocks():
        assert not block.reason or len(block.reason.split()) >= 3, block.id
    markers = sum(path.read_text("utf-8").count("\n<!-- not run") for path in DOCUMENTS)
    assert markers == sum(1 for block in all_blocks() if block.reason), "a marker stands alone"


# --- Python -------------------------------------------------------------------------------------


@pytest.fixture
def served(block: Block, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scripted model behind the in-process client, and behind a server where ``OpenAI()`` finds
    it, if the example makes one."""
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply=ANSWER)
    monkeypatch.setattr(host, "open_runtime", scripted(stage))
    if "OpenAI()" not in block.source:
        yield
        return
    with on_socket(load_settings(server={"port": 0}), stage) as client:
        monkeypatch.setenv("OPENAI_BASE_URL", str(client.base_url))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local")
        yield


@pytest.fixture
def registries() -> Iterator[None]:
    """Examples may add to these."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (registry, dict(registry)) for registry in (PARSERS, FORMATS, PROVIDERS)
    ]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def run_example(block: Block, capsys: pytest.CaptureFixture[str]) -> str:
    """What it prints."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.source, block.id, "exec"), names)
    if "client" in names:
        names["client"].close()
    return capsys.readouterr().out


@examples("python")
@pytest.mark.usefixtures("served", "registries")
# What the SDK says of every method of the Assistants surface.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_python_runs_and_prints_what_is_shown(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if block.reason:
        compile(block.source, block.id, "exec")
        return
    monkeypatch.chdir(tmp_path)  # some write files
    shown = run_example(block, capsys)
    if block.output is not None:
        assert shown == block.output
    elif "localassist.sandbox" in block.source:
        assert shown == "ok 45\n\n"
    elif "file_search" in block.source:
        assert shown.startswith("handbook.md, section Leave: “Employees have thirty days of leave")
    else:
        assert "print(" not in block.source or shown == ANSWER


@pytest.mark.model
@pytest.mark.slow  # loads PyTorch
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_the_quickstart_answers_with_the_real_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [block for block in all_blocks("python") if block.path == DOCS / "quickstart.md"]
    for block in found:
        assert run_example(block, capsys) == block.output


# --- JavaScript ---------------------------------------------------------------------------------


@examples("js")
def test_javascript_is_javascript(block: Block, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    file = tmp_path / "example.mjs"
    file.write_text(block.source, encoding="utf-8")
    done = subprocess.run([node, "--check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- commands -----------------------------------------------------------------------------------


def parse(words: list[str]) -> None:
    """What the command line itself makes of these words, short of doing it. Raises what it raises;
    files that have to be there are made."""
    for _ in range(len(words)):
        try:
            _parse(words)
            return
        except Exception as error:
            missing = re.search(r"'([^']+)' does not exist", str(error))
            if missing is None or Path(missing[1]).is_absolute() or Path(missing[1]).exists():
                raise
            _make_up(Path(missing[1]), is_folder="Directory" in str(error))
    raise AssertionError(f"{words} wants ever more files")


def _parse(words: list[str]) -> None:
    command: Any = COMMAND_LINE
    context, name, rest = None, words[0], words[1:]
    while True:
        try:
            context = command.make_context(name, rest, parent=context)
        except BaseException as ended:
            if type(ended).__name__ == "Exit":  # --help and --version
                return
            raise
        if not hasattr(command, "resolve_command"):
            return
        assert context._protected_args, f"{name} needs a command"
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)


def _make_up(path: Path, is_folder: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        path.mkdir()
    else:
        path.touch()


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@examples(*SHELL)
@pytest.mark.usefixtures("_elsewhere")
def test_commands_are_accepted(block: Block) -> None:
    if not block.reason:
        for words in localassist_commands(block.source):
            parse(words)


@pytest.mark.parametrize(
    "line",
    [
        "localassist serv",
        "localassist serve --prot 1",
        "localassist serve --port many",
        "localassist models show",
        "localassist models",
        "localassist compat --only some",
        "localassist docs one two",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises(Exception, match="^"):
        parse(shlex.split(line))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.usefixtures("_elsewhere")
def test_inline_commands_are_accepted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for line in re.findall(r"`(localassist [a-z-][^`\n]*)`", " ".join(text.split("\n"))):
        words = shlex.split(line)
        if line not in COMMANDS and "…" not in line:
            # In a sentence, an option may be named without its value.
            parse([*words, "1"] if _wants_value(words) else words)


def _wants_value(words: list[str]) -> bool:
    name = " ".join(word for word in words if not word.startswith("-"))
    found = [p for p in getattr(COMMANDS.get(name), "params", ()) if words[-1] in p.opts]
    return bool(found) and not found[0].is_flag


def test_commands_are_found_wherever_they_stand() -> None:
    source = (
        '$ echo "a | localassist no" | localassist chat  # localassist no\n'
        "$ A=1 sudo localassist serve && .venv/bin/localassist doctor\nlocalassist output\n"
        "$ python -m localassist \\\n  models list > file\n"
    )
    assert [words[1:] for words in localassist_commands(source)] == [
        ["chat"],
        ["serve"],
        ["doctor"],
        ["models", "list"],
    ]


@examples(*SHELL)
def test_other_programs_are_given_what_is_there(block: Block) -> None:
    """Modules that `python -m` names, targets of `make`, extras of `pip install`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in shell_commands(block.source):
        if words[0] == "make":
            assert set(words[1:]) <= set(targets)
        elif words[0].startswith("python") and words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None, words[2]
        for extras in re.findall(r"^localassist\[([\w,]+)\]", "\n".join(words), re.MULTILINE):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


@examples(*SHELL)
def test_curl_asks_for_what_is_served(block: Block) -> None:
    for words in shell_commands(block.source):
        if words[0] == "curl":
            _check_request(words)


def _check_request(words: list[str]) -> None:
    method, url = "GET", ""
    for word, after in zip(words[1:], [*words[2:], ""], strict=True):
        if word in ("-d", "--data", "-F", "--form"):
            method = "POST" if method == "GET" else method
            if word in ("-d", "--data"):
                json.loads(after)
        elif word in ("-X", "--request"):
            method = after
        elif re.match(r"https?://|\$OPENAI_BASE_URL", word):
            url = word.replace("$OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    path = "/" + url.partition("?")[0].split("/", 3)[3]
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    found = [
        route.matches(scope)[0] for route in (*ROUTES, *docs.ROUTES) if isinstance(route, Route)
    ]
    assert Match.FULL in found, f"{method} {path}"


# --- files --------------------------------------------------------------------------------------


@examples("toml")
def test_toml_is_settings_or_a_manifest(block: Block, tmp_path: Path) -> None:
    values = tomllib.loads(block.source)
    if "kind" in values or "source" in values:
        ModelManifest.model_validate(values)
    else:
        Settings.model_validate({**values, "home": tmp_path})


@examples("json")
def test_json_is_json(block: Block) -> None:
    json.loads(block.source)


@examples("yaml")
def test_yaml_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.source)


@examples("csv")
def test_tables_have_rows_of_one_length(block: Block) -> None:
    assert len({len(row) for row in csv.reader(block.source.splitlines())}) == 1


def test_variables_of_the_configuration_page_are_accepted(tmp_path: Path) -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    exports = re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE)
    settings = load_settings(tmp_path, environ={k: "".join(shlex.split(v)) for k, v in exports})
    assert settings.server.port == 9000 and len(settings.server.api_keys) == 2
