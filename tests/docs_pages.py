"""The reference pages that are made from the code: endpoints, settings, commands, metrics.

``python -m tests.docs_pages`` rewrites what follows the marker in each page; what stands before it
is written by hand. ``test_docs`` fails while a page does not say what the code does. Lives beside
the tests because nothing that is installed needs it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from prometheus_client import Metric
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command

from localassist.cli.main import app
from localassist.engine import EnginePool
from localassist.engine.counters import EngineCounters
from localassist.engine.footprint import MemoryBudget
from localassist.engine.pool import LoadedModel
from localassist.runs.counters import RunCounters
from localassist.server import compatibility, metrics
from localassist.services.histogram import Histogram
from localassist.services.ingest_job import IngestCounters
from localassist.settings import PREFIX, Settings
from tests.published_parameters import PUBLISHED, published

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "localassist" / "docs"
MARKER = "<!-- From here on made from the code: python -m tests.docs_pages -->\n"

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_TYPES = {
    bool: "true or false",
    dict: "table",
    float: "number",
    int: "integer",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
}


def sections() -> dict[str, type[BaseModel]]:
    """Every section of the settings by its name in the file."""
    fields = Settings.model_fields.items()
    return {name: field.annotation for name, field in fields if name != "home"}  # type: ignore[misc]


def variable(section: str, key: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{section}__{key}".upper()


def explanations(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field of a section. Read here and not by pydantic, which would read
    the sources whenever a process starts."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        ast.unparse(field.target): inspect.cleandoc(text.value.value)
        for field, text in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def configuration() -> str:
    """All settings, a table for each section."""
    parts = []
    for name, model in sections().items():
        texts = explanations(model)
        fields = model.model_fields.items()
        rows = [_setting(name, key, field, texts.get(key)) for key, field in fields]
        head = ["| Setting | Value | Default | Environment variable |", "|---|---|---|---|"]
        parts.append("\n".join([f"\n## [{name}]\n", *head, *rows]) + "\n")
    return "".join(parts)


def _setting(section: str, key: str, field: FieldInfo, explanation: str | None) -> str:
    assert explanation is not None, f"{section}.{key} has no docstring"
    default = field.get_default(call_default_factory=True)
    shown = "unset" if default is None else f"`{_toml(default)}`"
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    value = ", ".join([_kind(field.annotation), *bounds])
    text = " ".join(explanation.replace("``", "`").split())
    return f"| `{key}`<br>{text} | {value} | {shown} | `{variable(section, key)}` |"


def _kind(annotation: Any) -> str:
    """A type in the words of someone who writes TOML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in arguments if part is not type(None))
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table of {', '.join(f'`{key}`' for key in annotation.model_fields)}"
    return _TYPES[origin or annotation]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups included."""
    yield from _commands("localassist", get_command(app))


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {child}", inner)


def options(command: Any) -> list[str]:
    """The options of a command; every one has ``--help`` besides."""
    return [name for parameter in command.params for name in parameter.opts if name[0] == "-"]


def command_line() -> str:
    """All commands with their arguments and options."""
    return "".join(_command(name, command) for name, command in commands())


def _command(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.opts[0][0] != "-"]
    chosen = [parameter for parameter in command.params if parameter not in arguments]
    usage = [name, *(["[OPTIONS]"] if chosen else [])]
    usage += [_optional(argument, _placeholder(argument)) for argument in arguments]
    usage += ["COMMAND"] if hasattr(command, "commands") else []
    text = f"\n## {name}\n\n{command.help}\n\n```\n{' '.join(usage)}\n```\n"
    rows = [(_placeholder(argument), argument.help) for argument in arguments]
    rows += [(_option(option), option.help) for option in chosen]
    rows += [(child, inner.help) for child, inner in getattr(command, "commands", {}).items()]
    if rows:
        text += "\n| | |\n|---|---|\n"
    return text + "".join(f"| `{name}` | {' '.join(help_.split())} |\n" for name, help_ in rows)


def _option(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {_placeholder(option)}"


def _placeholder(parameter: Any) -> str:
    return str(parameter.name).upper()


def _optional(parameter: Any, text: str) -> str:
    return text if parameter.required else f"[{text}]"


def metric_tables() -> str:
    """All metrics, as a scrape with one loaded model has them."""
    model = LoadedModel("m", "idle", 1.0, 1, 0, EngineCounters())
    pool = EnginePool(lambda model_id, progress: _never(), budget=MemoryBudget(1))
    models = [*metrics.pool_metrics(pool), *metrics.model_metrics([model])]
    return "".join(
        [
            _metric_table("Requests", metrics.request_metrics({}, {})),
            _metric_table("Runs", metrics.run_metrics(RunCounters(), 0)),
            _metric_table("Models", models),
            _metric_table("Engines", metrics.engine_metrics([model])),
            _metric_table(
                "Documents", metrics.document_metrics(IngestCounters(), Histogram([1.0]))
            ),
            _metric_table("Code", metrics.kernel_metrics(Counter())),
        ]
    )


def _metric_table(title: str, families: Iterable[Metric]) -> str:
    rows = ["| Metric | Kind | |", "|---|---|---|"]
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(getattr(family, "_labelnames", ()))
        shown = f"{name}{{{labels}}}" if labels else name
        rows.append(f"| `{shown}` | {family.type} | {family.documentation} |")
    return "\n".join([f"\n## {title}\n", *rows]) + "\n"


def _never() -> NoReturn:
    raise AssertionError("nothing is loaded for a page")


def endpoint_tables() -> str:
    """What becomes of every endpoint and parameter of the hosted API."""
    return "".join(map(_endpoint_table, compatibility.report()))


def _endpoint_table(endpoint: compatibility.Endpoint) -> str:
    parts = [
        f"\n## {endpoint.name}\n",
        _sentence(endpoint.status, endpoint.note, endpoint.versions),
    ]
    if endpoint.parameters:
        parts += ["", "| Parameter | | |", "|---|---|---|"]
    for parameter in endpoint.parameters:
        is_old = parameter.versions == ("v1",) and endpoint.versions != ("v1",)
        note = "; ".join(filter(None, ["version 1" if is_old else "", parameter.note]))
        place = "" if parameter.place == "body" else f" ({parameter.place})"
        parts.append(f"| `{parameter.name}`{place} | {parameter.status} | {note} |")
    return "\n".join(parts) + "\n"


def _sentence(status: str, note: str, versions: tuple[str, ...]) -> str:
    said = [f"**{status}**", note, "version 1 only" if versions == ("v1",) else ""]
    return "; ".join(filter(None, said))


PAGES: dict[str, Callable[[], str]] = {
    "api.md": endpoint_tables,
    "configuration.md": configuration,
    "cli.md": command_line,
    "metrics.md": metric_tables,
}


def split(page: str) -> tuple[str, str]:
    """A page's hand-written and its made part."""
    written, marker, made = (DOCS / page).read_text(encoding="utf-8").partition(MARKER)
    assert marker, f"{page} has no marker"
    return written, made


def main() -> None:
    PUBLISHED.write_text(published(), encoding="utf-8")
    for page, make in PAGES.items():
        written, _ = split(page)
        (DOCS / page).write_text(written + MARKER + make(), encoding="utf-8")
        sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
