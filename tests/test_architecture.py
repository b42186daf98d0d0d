"""The layers, as data, against every import in the tree.

Imports point down. Packages that share a row do not see each other. ``config`` modules hold only
settings and may be read from above by ``settings``, wherever their package stands.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "localassist"

# From top to bottom.
ROWS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "__main__",
        "cli",
        "client",
        "bundle deploy evaluation",
        "server",
        "runtime",
        "settings",
        "archive runs",
        "services",
        "tools",
        "engine chat retrieval sandbox registry storage",
        "observability",
        "config",
        "schemas",
        "child",
        "core lazy memo errors ids clock disk offline pages programs",
    )
)
LEVELS = {name: level for level, row in enumerate(reversed(ROWS)) for name in row}

# Heavy or replaceable libraries, and the only modules that may know them.
SOLE_IMPORTERS = {
    "alembic": ("storage",),
    "charset_normalizer": ("retrieval.parsers",),
    "chromadb": ("retrieval.indexes",),
    "httpx": ("engine.remote", "registry.pull.web"),
    "jinja2": ("chat",),
    "jupyter_client": ("sandbox",),
    "llama_cpp": ("engine.llama",),
    "llguidance": ("engine",),
    "lxml": ("retrieval.parsers",),
    "markdown_it": ("cli.display", "server.pages"),
    "matplotlib": ("evaluation",),
    "olefile": ("retrieval.parsers",),
    "openai": ("client",),
    "opentelemetry": ("observability.tracing",),
    "openpyxl": ("retrieval.parsers.xlsx",),
    "openvino": ("retrieval.embedders",),
    "PIL": ("cli.display",),
    "pptx": ("retrieval.parsers.pptx",),
    "prometheus_client": ("server",),
    "prompt_toolkit": ("cli",),
    "py3langid": ("retrieval.parsers.language",),
    "pygments": ("server.pages",),
    "pypdfium2": ("retrieval.parsers.pdf",),
    "rich": ("cli",),
    "sentence_transformers": ("retrieval.embedders",),
    "sqlalchemy": ("storage",),
    "starlette": ("server", "client.host"),
    "Stemmer": ("retrieval.analysis",),
    "striprtf": ("retrieval.parsers.rtf",),
    "tantivy": ("retrieval.lexical",),
    "tiktoken": ("evaluation",),
    "tokenizers": ("retrieval.embedders",),
    "torch": ("retrieval.embedders",),
    "typer": ("cli",),
    "uvicorn": ("server",),
    "uvloop": ("server",),
    "zmq": ("sandbox",),
}
HEAVY = (
    "PIL alembic chromadb httpx jinja2 jupyter_client llama_cpp llguidance lxml "
    "matplotlib numpy openai openpyxl opentelemetry openvino pptx prometheus_client prompt_toolkit "
    "py3langid pypdfium2 sentence_transformers sqlalchemy starlette tantivy tokenizers torch "
    "uvicorn zmq"
).split()


def modules() -> dict[str, ast.Module]:
    """Every module by its name inside the package; ``__init__`` modules by their package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


TREE = modules()


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Full dotted names of everything imported, a name taken from a module included."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner(imported: str) -> str | None:
    """The module of ours that an import names, None for others' modules."""
    top, _, rest = imported.partition(".")
    if top != "localassist":
        return None
    return rest if rest in TREE else rest.rpartition(".")[0]


def place(module: str) -> str:
    """The name under which a module stands in ``ROWS``."""
    return "config" if module.endswith(".config") else module.partition(".")[0]


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: no function bodies, no type-checking blocks."""
    for node in ast.iter_child_nodes(tree):
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not is_typing and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from at_import_time(node)


def test_every_module_has_a_place() -> None:
    assert {place(module) for module in TREE} - {""} <= set(LEVELS)


@pytest.mark.parametrize("module", sorted(set(TREE) - {""}))
def test_imports_point_down(module: str) -> None:
    mine = place(module)
    for imported in imports(ast.walk(TREE[module])):
        other = place(inner(imported) or "")
        if other and other != mine:
            assert LEVELS[other] < LEVELS[mine], f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(TREE))
def test_libraries_have_one_owner(module: str) -> None:
    for imported in imports(ast.walk(TREE[module])):
        owners = SOLE_IMPORTERS.get(imported.partition(".")[0])
        is_owner = owners is None or any(f"{module}.".startswith(f"{name}.") for name in owners)
        assert is_owner, f"{module} imports {imported}"


def test_there_are_no_import_cycles() -> None:
    needs = {
        module: {inner(name) for name in imports(at_import_time(tree))} - {None, "", module}
        for module, tree in TREE.items()
    }
    while leaves := {module for module, needed in needs.items() if not needed & set(needs)}:
        needs = {module: needed for module, needed in needs.items() if module not in leaves}
    assert not needs


@pytest.mark.parametrize(
    "statement",
    [
        "import localassist",
        "from localassist.cli.main import app; app(['--help'], standalone_mode=False)",
        "from localassist.cli.main import app; app(['models', '--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(statement: str) -> None:
    code = f"{statement}\nimport sys; print('loaded', *sorted(set(sys.modules) & set({HEAVY})))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.splitlines()[-1] == "loaded"


def test_settings_are_read_without_what_they_set() -> None:
    """A shell waits for names of models between two keys."""
    code = "import localassist.settings, sys; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    loaded = {inner(name) for name in done.stdout.split()} - {
        None,
        "",
        "errors",
        "lazy",
        "settings",
    }
    assert {name for name in loaded if name.rpartition(".")[2] != "config"} <= {
        package for package in TREE if f"{package}.config" in TREE
    }
