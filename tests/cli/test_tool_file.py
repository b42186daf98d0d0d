"""A user's file of functions: what becomes a tool, and one line for what cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localassist.cli.chat.tool_file import load_tools
from localassist.errors import ConfigError

TYPED = "def {name}(x: int) -> int:\n    return x\n\n\n"


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(text: str, name: str = "my tools.py") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture(autouse=True)
def _leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "localassist_tool_file", None)  # type: ignore[arg-type]


def names(path: Path) -> list[str]:
    return [tool.name for tool in load_tools(path)]


def test_all_public_functions_in_their_order(write) -> None:  # type: ignore[no-untyped-def]
    text = "from os.path import join\nfrom json import dumps\n\n"
    for name in ("second", "_private", "first"):
        text += TYPED.format(name=name)
    text += "class Thing:\n    def method(self, x): ...\n\nanswer = 42\n"
    assert names(write(text)) == ["second", "first"]


def test_only_marked_ones_where_any_is_marked(write) -> None:  # type: ignore[no-untyped-def]
    text = "import localassist\n\n" + TYPED.format(name="plain")
    text += "@localassist.tool\n" + TYPED.format(name="_marked")
    text += "@localassist.tool(name='named')\n" + TYPED.format(name="other") + "alias = other\n"
    text += "def untyped(x): ...\n"
    assert names(write(text)) == ["_marked", "named"]


def test_a_function_with_two_names_is_one_tool(write) -> None:  # type: ignore[no-untyped-def]
    assert names(write(TYPED.format(name="weather") + "get_weather = weather\n")) == ["weather"]


def test_types_and_neighbours_of_the_file_are_found(write) -> None:  # type: ignore[no-untyped-def]
    write("from dataclasses import dataclass\n\n@dataclass\nclass P:\n    x: int\n", "shapes_xy.py")
    text = "from __future__ import annotations\nfrom shapes_xy import P\n\n"
    (tool,) = load_tools(write(text + "def area(p: P) -> int:\n    return p.x\n"))
    assert tool.call('{"p": {"x": 3}}') == "3"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = (\n\ny = 1\n", 1, "was never closed."),
        ("import nothing_of_this_name\n", 1, "ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: "),
        ("import sys\n\nsys.exit('no')\n", 3, "SystemExit: no"),
        ("\n\ndef f(x): ...\n", 3, "parameter 'x' has no type"),
        ("def f(*xs: int): ...\n", 1, "'*xs'"),
        (
            "from localassist import tool\n\n\n@tool\ndef f(x): ...\n",
            4,
            "parameter 'x' has no type",
        ),
        (
            "from localassist import tool\n\n\ndef f(): ...\n\n\n"
            "a = tool(name='n')(f)\n\n\ndef g(): ...\n\n\nb = tool(name='n')(g)\n",
            10,
            "a second tool named 'n'",
        ),
        ("answer = 1\0\n", None, "null bytes"),
        ("answer = 42\n", None, "there is no public function"),
        ("".join(TYPED.format(name=f"f{n}") for n in range(21)), None, "21 tools"),
    ],
)
def test_what_cannot_work_names_file_and_line(  # type: ignore[no-untyped-def]
    write, text: str, line: int | None, said: str
) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_tools(path)
    where = f"{path}: " if line is None else f"{path}:{line}: "
    assert caught.value.message.startswith(where), caught.value.message
    assert said in caught.value.message


def test_what_is_no_python_file(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for path, said in (
        (tmp_path / "missing.py", "there is no such file"),
        (tmp_path, "this is no Python file"),
        (write("x", "tools.txt"), "this is no Python file"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_tools(path)
        assert caught.value.message.startswith(f"{path}: {said}")


def test_nothing_is_opened_for_a_broken_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def f(x): ...\n")
    home = tmp_path / "data"
    command = [sys.executable, "-m", "localassist", "--home", str(home), "chat", "--yes", "--tools"]
    done = subprocess.run([*command, str(broken)], input="Hi", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"localassist: {broken}:1: Function 'f'")
    assert done.stderr.count("\n") == 1
    assert not list(home.glob("*.db")) and not list(home.glob("*.sqlite*"))
