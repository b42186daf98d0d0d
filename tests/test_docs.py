"""The pages against the code: nothing left out, nothing made up, every example runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from localassist import errors
from localassist.pages import all_pages, outline
from localassist.schemas import events
from localassist.server.routes import ROUTES
from tests.docs_examples import DOCUMENTS, blocks
from tests.docs_pages import (
    DOCS,
    PAGES,
    ROOT,
    commands,
    explanations,
    options,
    sections,
    split,
    variable,
)
from tests.published_parameters import PUBLISHED, published
from tests.test_architecture import LEVELS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = ROOT / "localassist"
COMMANDS = dict(commands())
PYTHON_FILES = [
    file
    for top in ("localassist", "tests", "benchmarks", "sandbox")
    for file in (ROOT / top).rglob("*.py")
]
SOURCE = "\n".join(
    file.read_text("utf-8") for end in ("py", "service") for file in PACKAGE.rglob(f"*.{end}")
)
FILE_ENDS = (".py", ".db", ".md", ".toml", ".json", ".log")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


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
        assert set(explanations(model)) == set(model.model_fields)
        for key in model.model_fields:
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
    described = [
        name
        for cells in rows(text)
        for name in re.findall(r"`(\w+)`", cells[0])
        if len(cells) == 3 and name in LEVELS
    ]
    assert sorted(described) == sorted(LEVELS)
    listed, folder = list[str](), ""
    drawn = [block.source for block in blocks(DOCS / "architecture.md", "")]
    (tree,) = [source for source in drawn if "__main__" in source]
    for line in tree.splitlines():
        if not line.startswith(" "):
            folder = line
        else:
            listed.append(folder.removeprefix("localassist/") + line.split()[0])
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    versions = "storage/migrations/versions/"
    expected = {m for m in modules if "__init__" not in m and not m.startswith(versions)}
    assert set(listed) == expected
    assert len(listed) == len(expected)


# --- names, links and packaging -----------------------------------------------------------------

# Words of others in code spans that look like ours.
FOREIGN = {
    "ChatOpenAI",
    "OpenAI",
    "AzureOpenAI",
    "LlamaGrammar",
}
SPAN = r"(?<!`)`([^`\n]+)`(?!`)"
SPANS = [
    pytest.param(path, re.findall(SPAN, path.read_text("utf-8")), id=identify(path))
    for path in (*DOCUMENTS, ROOT / "benchmarks" / "README.md")
]


@pytest.mark.parametrize(("path", "spans"), SPANS)
def test_settings_named_exist(path: Path, spans: list[str]) -> None:
    keys = {f"{name}.{key}" for name, model in sections().items() for key in model.model_fields}
    variables = {variable(*key.split(".")) for key in keys} | {"LOCALASSIST_HOME"}
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in PYTHON_FILES}
    for span in spans:
        named = re.fullmatch(rf"((?:{'|'.join(sections())})\.\w+)(?: = .*)?", span)
        if named and not any(module.endswith(f".{named[1]}") for module in modules):
            assert named[1] in keys or span.endswith(FILE_ENDS), span
        for name in re.findall(r"LOCALASSIST_\w+", span):
            is_pattern = name.endswith("_") or "SECTION" in name or "BENCH" in name
            assert is_pattern or name in variables, name


@pytest.mark.parametrize(("path", "spans"), SPANS)
def test_modules_named_exist(path: Path, spans: list[str]) -> None:
    files = [f"/{file.relative_to(ROOT)}" for file in PYTHON_FILES]
    for span in spans:
        if re.fullmatch(r"[\w/]+/\w+\.py", span):
            is_example = path.name == "extending.md"
            assert is_example or any(file.endswith(f"/{span}") for file in files), span


@pytest.mark.parametrize(("path", "spans"), SPANS)
def test_metrics_and_classes_named_exist(path: Path, spans: list[str]) -> None:
    metrics = page("metrics.md")
    for span in spans:
        if re.fullmatch(r"localassist_[a-z_]+(\{.*\})?", span):
            assert f"`{span}" in metrics, span
        elif re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+", span):
            assert span in FOREIGN or re.search(rf"\b{span}\b", SOURCE), span


def anchors(path: Path) -> set[str]:
    return {section.anchor for section in outline(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"], ids=identify
)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


def test_the_readme_begins_with_two_commands_and_stays_short() -> None:
    readme = ROOT / "README.md"
    first = blocks(readme)[0]
    assert [line.split("#")[0].split() for line in first.source.splitlines()] == [
        ["make", "chat"],
        ["make", "test"],
    ]
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 170


def test_the_pages_are_shipped_with_the_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["localassist"] and not {"include", "exclude"} & set(wheel)
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert not any(line.strip("/") in ("docs", "*.md", "localassist") for line in ignored)
    # Pages that lie elsewhere are carried along, also when a wheel is made from an archive.
    for page in all_pages().values():
        if not page.source.startswith("localassist/"):
            top = page.source.split("/")[0]
            assert wheel["force-include"][top] == f"localassist/_shipped/{top}"
            assert f"/{top}" in build["targets"]["sdist"]["include"]
