"""Cells that failed, mended by what their tracebacks say. What is not understood is left alone."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile, Execution
from localassist.tools.code_interpreter.tables import tables

_ALIASES = {
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "sns": "import seaborn as sns",
    "sp": "import sympy as sp",
    "dt": "import datetime as dt",
    "stats": "from scipy import stats",
    "nx": "import networkx as nx",
}
_MODULES = frozenset(
    "math random statistics datetime time re json csv collections itertools functools string os "
    "decimal fractions heapq bisect operator textwrap calendar sys glob pathlib numpy pandas scipy "
    "sympy seaborn".split()
)
_MEMBERS = {
    "collections": "Counter defaultdict deque OrderedDict namedtuple",
    "datetime": "timedelta date",
    "math": "sqrt pi ceil floor factorial gcd log log10 log2 exp sin cos tan isqrt prod comb perm",
    "random": "randint choice shuffle sample uniform",
    "statistics": "mean median stdev mode variance",
    "functools": "reduce lru_cache partial",
    "itertools": "permutations combinations product chain groupby accumulate",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": "Path",
    "string": "ascii_lowercase ascii_letters ascii_uppercase digits punctuation",
}
_FROM = {member: module for module, members in _MEMBERS.items() for member in members.split()}
_NO_NAME = re.compile(r"NameError: name '(\w+)' is not defined")
_NO_KEY = re.compile(r"KeyError: (?:\"(.*?)\"|'(.*?)')\s*$", re.MULTILINE)
_NO_FILE = re.compile(r"FileNotFoundError: .*?'([^'\n]+)'\s*$", re.MULTILINE)
_NO_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'")
_NO_ATTRIBUTE = re.compile(r"AttributeError: .*?has no attribute '(\w+)'\. Did you mean: '(\w+)'\?")
_UNDECODED = re.compile(r"UnicodeDecodeError:")
_MARKED = re.compile(r"can't decode byte 0xf[ef] in position 0")
_UNPARSED = re.compile(r"ParserError: Error tokenizing data")
_NOT_FOUND_KEYS = re.compile(r"KeyError: .*?\[(?P<names>'[^\]]*')\].*not in index", re.MULTILINE)
_CLOSE, _CLOSE_NAMES = 0.5, 0.75  # of difflib's ratio: of columns and files, of variables


def mended(execution: Execution, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    """The cell with one thing changed and a word on what, None when nothing is known to help."""
    for mend in _MENDS:
        found = mend(execution.code, execution.logs, files)
        if found is not None and found[0] != execution.code:
            return found
    return None


def missing_module(execution: Execution) -> str | None:
    """The package that the code wanted and that is not there."""
    match = _NO_MODULE.search(execution.logs)
    return None if match is None else match[1]


def _name(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    match = _NO_NAME.search(logs)
    if match is None:
        return None
    name = match[1]
    line = _ALIASES.get(name) or (f"import {name}" if name in _MODULES else None)
    if line is None and name in _FROM and re.search(rf"\b{name}\(", code):
        line = f"from {_FROM[name]} import {name}"
    if line is not None:
        return f"{line}\n{code}", f"{name} was not imported"
    near = _nearest(name, _defined(code) - {name}, _CLOSE_NAMES)
    if near is None:
        return None
    return re.sub(rf"(?<![\w.\"']){name}(?!\w)", near, code), f"{name} is not defined, {near} is"


def _key(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    several = _NOT_FOUND_KEYS.search(logs)
    match = _NO_KEY.search(logs)
    if several is not None:
        name = several["names"].split(",")[0].strip(" '\"")
    elif match is not None:
        name = match[1] or match[2] or ""
    else:
        return None
    columns = [column.name for table in tables(files) for column in table.columns]
    near = _nearest(name, columns)
    return None if near is None else _renamed(code, name, near, f"no column {name}, but {near}")


def _file(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    match = _NO_FILE.search(logs)
    if match is None or not files:
        return None
    wanted = match[1]
    names = [file.name for file in files]
    near = _nearest(wanted.rpartition("/")[2], names) or (names[0] if len(names) == 1 else None)
    if near is None:
        return None
    return _renamed(code, wanted, f"{DATA_FOLDER}/{near}", f"no file {wanted}, but {near}")


def _attribute(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    match = _NO_ATTRIBUTE.search(logs)
    if match is None:
        return None
    wrong, right = match[1], match[2]
    return re.sub(rf"\.{wrong}\b", f".{right}", code), f"no attribute {wrong}, but {right}"


def _encoding(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    if _UNDECODED.search(logs) is None or "encoding=" in code:
        return None
    # A file of UTF-16 begins with a mark of two bytes, of which neither is UTF-8.
    encoding = "utf-16" if _MARKED.search(logs) else "latin-1"
    changed = re.sub(r"((?:read_csv|\bopen)\([^()\n]*)\)", rf'\1, encoding="{encoding}")', code)
    return changed, "the file is not UTF-8"


def _separator(code: str, logs: str, files: Sequence[CodeFile]) -> tuple[str, str] | None:
    if _UNPARSED.search(logs) is None or "on_bad_lines" in code:
        return None
    bare = re.sub(r", sep=\"[^\"]*\"", "", code)
    options = r', sep=None, engine="python", on_bad_lines="skip")'
    return re.sub(r"(read_csv\([^()\n]*)\)", rf"\1{options}", bare), "lines of uneven length"


_Mend = Callable[[str, str, Sequence[CodeFile]], "tuple[str, str] | None"]
_MENDS: tuple[_Mend, ...] = (_name, _key, _file, _attribute, _encoding, _separator)


def _renamed(code: str, old: str, new: str, evidence: str) -> tuple[str, str] | None:
    """The code with one string for another."""
    pattern = rf"([\"']){re.escape(old)}\1"
    quoted = '"' + new.replace("\\", "\\\\").replace('"', '\\"') + '"'
    changed, count = re.subn(pattern, lambda _: quoted, code)
    return (changed, evidence) if count else None


def _defined(code: str) -> set[str]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    stored = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    named = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    return stored | named


def _nearest(name: str, candidates: Iterable[str], least: float = _CLOSE) -> str | None:
    known = {candidate.casefold(): candidate for candidate in candidates}
    wanted = name.casefold()
    inside = [k for k in known if least == _CLOSE and (wanted in k or k in wanted)]
    found = difflib.get_close_matches(wanted, known, n=1, cutoff=least) or inside[:1]
    return known[found[0]] if found and known[found[0]] != name else None
