"""The pages against the code: nothing left out, nothing made up, every example runs."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localassist import errors, load_settings
from localassist.client import host
from localassist.engine import ScriptedEngine
from localassist.schemas import events
from localassist.server.routes import ROUTES
from localassist.settings import Settings
from tests.docs_pages import DOCS, MARKER, PAGES, ROOT, commands, options, sections, split, variable
from tests.published_parameters import PUBLISHED, published
from tests.server.serving import Stage, on_socket, scripted
from tests.test_architecture import ROWS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = ROOT / "localassist"
READMES = [folder / "README.md" for folder in (ROOT, ROOT / "models", ROOT / "sandbox")]
DOCUMENTS = [*READMES, *sorted(DOCS.glob("*.md"))]
COMMANDS = dict(commands())
ANSWER = "Because of how air scatters light."


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks written by hand in one language; "" are those without."""
    text = path.read_text(encoding="utf-8").partition(MARKER)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- pages made from the code -------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_up_to_date(name: str) -> None:
    made = split(name)[1]
    assert made == PAGES[name](), f"{name} is stale: run python -m tests.docs_pages"


def test_the_published_parameters_are_up_to_date() -> None:
    made = PUBLISHED.read_text(encoding="utf-8")
    assert made == published(), "published.json is stale: run python -m tests.docs_pages"


def test_every_setting_is_explained() -> None:
    text = page("configuration.md")
    for name, model in sections().items():
        assert f"## [{name}]" in text
        for key, field in model.model_fields.items():
            assert field.description
            assert f"| `{key}`<br>" in text and f"`{variable(name, key)}`" in text


def test_every_command_and_option_is_explained() -> None:
    parts = dict(re.findall(r"^## (localassist.*?)\n(.*?)(?=^## |\Z)", page("cli.md"), re.M | re.S))
    assert set(parts) == set(COMMANDS)
    for name, command in COMMANDS.items():
        assert command.help and command.help in parts[name]
        rows = re.findall(r"^\| `(-[^`]+)`", parts[name], re.MULTILINE)
        listed = {word.rstrip(",") for row in rows for word in row.split() if word[0] == "-"}
        assert listed == set(options(command))
        assert all(parameter.help for parameter in command.params)


# --- pages written by hand ----------------------------------------------------------------------


def test_the_served_endpoints_are_the_routes() -> None:
    sections = re.findall(r"^## ([A-Z]+ /\S*)\n\n\*\*(\w+)\*\*", page("api.md"), re.MULTILINE)
    listed = [name for name, status in sections if status != "no"]
    routes = [
        f"{method} {route.path.removeprefix('/v1').replace(':path', '')}"
        for route in ROUTES
        for method in route.methods - {"HEAD"}
    ]
    assert sorted(listed) == sorted(routes)


def test_every_stream_event_is_listed() -> None:
    known = {
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and name != "DONE_DATA"
    }
    text = page("compatibility.md")
    streams = text[text.index("\n## Streams") :]
    listed = [cells[0] for cells in rows(streams) if len(cells) == 2]
    found = {name for cell in listed for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert {name for name in found if name in known or name.startswith("thread.")} == known


def test_every_error_has_its_row() -> None:
    table = {cells[0].strip("`"): cells for cells in rows(page("errors.md")) if len(cells) == 6}
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.LocalAssistError)
    }
    assert set(table) - {"Class", "---"} == set(classes)
    for name, error in classes.items():
        assert table[name][1:3] == [str(error.status), f"`{error.type}`"], name
        assert error.code is None or table[name][3] == f"`{error.code}`", name


def test_every_layer_and_module_is_described() -> None:
    text = page("architecture.md")
    for row in ROWS:
        assert all(f"`{name}`" in text for name in row)
    listed, folder = set(), ""
    (tree,) = [block for block in blocks(DOCS / "architecture.md", "") if "__main__" in block]
    for line in tree.splitlines():
        if not line.startswith(" "):
            folder = line
        else:
            listed.add(folder.removeprefix("localassist/") + line.split()[0])
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    versions = "storage/migrations/versions/"
    assert listed == {m for m in modules if "__init__" not in m and not m.startswith(versions)}


def test_settings_and_modules_in_the_text_exist() -> None:
    keys = {f"{name}.{key}" for name, model in sections().items() for key in model.model_fields}
    modules = [f"/{path.relative_to(ROOT)}" for path in ROOT.glob("[lt]*/**/*.py")]
    for name in ("architecture.md", "compatibility.md", "errors.md"):
        for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page(name)):
            if re.fullmatch(r"[\w/]+\.py", span):
                assert any(module.endswith(f"/{span}") for module in modules), span
            elif re.fullmatch(rf"({'|'.join(sections())})\.\w+( = .*)?", span):
                assert span.partition(" ")[0] in keys, span


# --- examples -----------------------------------------------------------------------------------


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A scripted model behind the in-process client and the server."""
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply=ANSWER)
    monkeypatch.setattr(host, "open_runtime", scripted(stage))
    return stage


@pytest.fixture
def served(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server where ``OpenAI()`` finds it."""
    with on_socket(load_settings(server={"port": 0}), stage) as client:
        monkeypatch.setenv("OPENAI_BASE_URL", str(client.base_url))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local")
        yield


# What the SDK says of every method of the Assistants surface.
DEPRECATED = "ignore:deprecated:DeprecationWarning"
PYTHON = [
    pytest.param(
        source,
        id=f"{identify(path)}-{number}",
        marks=[pytest.mark.sandbox] if "localassist.sandbox" in source else [],
    )
    for path in DOCUMENTS
    for number, source in enumerate(blocks(path, "python"))
]


@pytest.mark.parametrize("source", PYTHON)
@pytest.mark.usefixtures("served")
@pytest.mark.filterwarnings(DEPRECATED)
def test_python_examples_run(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    names: dict[str, Any] = {}
    exec(compile(source, "example", "exec"), names)
    if "client" in names:
        names["client"].close()
    shown = capsys.readouterr().out
    if "localassist.sandbox" in source:
        assert shown == "ok 45\n\n"
    elif "file_search" in source:
        assert shown.startswith("handbook.md, section Leave: “Employees have thirty days of leave")
    else:
        assert "print(" not in source or shown == ANSWER


def shell_lines(path: Path) -> Iterator[str]:
    for block in blocks(path, "(?:bash|sh)?"):
        for line in block.splitlines():
            # A comment, or what stands before a pipe, is not ours.
            command = re.sub(r"\s#.*", "", line).rpartition("|")[2].strip()
            if command.startswith("localassist "):
                yield command


def check_command(line: str) -> None:
    """Walk a command line along the commands and options that exist."""
    words = shlex.split(line)
    name = words.pop(0)
    arguments = 0
    while words:
        word = words.pop(0)
        command = COMMANDS[name]
        if word.startswith("-") and word != "-":
            known = {o: p for p in command.params for o in p.opts} | {"--help": None}
            assert word in known, f"{name} has no {word}"
            if known[word] is not None and not known[word].is_flag:
                assert words, f"{word} needs a value"
                words.pop(0)
        elif f"{name} {word}" in COMMANDS:
            name = f"{name} {word}"
        else:
            arguments += 1
    taken = [p for p in COMMANDS[name].params if not p.opts[0].startswith("-")]
    assert not hasattr(COMMANDS[name], "commands"), f"{line} names no command"
    most = math.inf if any(p.nargs == -1 for p in taken) else len(taken)
    assert sum(p.required for p in taken) <= arguments <= most, line


@pytest.mark.parametrize("path", DOCUMENTS, ids=identify)
def test_shell_examples_name_what_exists(path: Path) -> None:
    for line in shell_lines(path):
        check_command(line)


@pytest.mark.parametrize(
    "line", ["localassist serv", "localassist serve --prot 1", "localassist models show"]
)
def test_a_wrong_example_would_be_noticed(line: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check_command(line)


def test_inline_commands_name_what_exists() -> None:
    for path in DOCUMENTS:
        for line in re.findall(r"`(localassist [a-z][^`\n]*)`", path.read_text(encoding="utf-8")):
            if line not in COMMANDS:
                check_command(line)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    used = {
        target
        for name in ("README.md", "CONTRIBUTING.md")
        for target in re.findall(r"(?:^|`)make (\w[\w-]*)", (ROOT / name).read_text("utf-8"), re.M)
    }
    assert used and used <= targets


def test_the_configuration_examples_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = blocks(DOCS / "configuration.md", "toml")
    assert Settings.model_validate({**tomllib.loads(example), "home": tmp_path})
    exports = re.findall(r"^export (\w+)=(.*)$", page("configuration.md"), re.MULTILINE)
    settings = load_settings(tmp_path, environ={k: "".join(shlex.split(v)) for k, v in exports})
    assert settings.server.port == 9000 and len(settings.server.api_keys) == 2


# --- links and packaging ------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=identify)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


def test_the_pages_are_shipped_with_the_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["localassist"] and not {"include", "exclude"} & set(wheel)
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert not any(line.strip("/") in ("docs", "*.md", "localassist") for line in ignored)
