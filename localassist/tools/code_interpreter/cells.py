"""A cell as a grammar: Python that is always well formed, written by a model of any size.

A subset of the language with fixed spacing, one statement per line, blocks of up to four levels.
What stands alone on a line is a call, so that no prose can pass for code.
``return`` stands only in functions, ``break`` and ``continue`` only in loops. Modules are those
that a kernel has; a path is that of a file that is there, or a new one that is being written.

The grammar engine's lexer takes the longest lexeme and never goes back, so none may begin like
another that is whole before it: ``to_csv(`` is one beside names; ``.to_csv(`` would forbid
``.tail``.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from localassist.chat.formats.json_values import grammar_of, quote
from localassist.core import Constraint
from localassist.tools.code_interpreter.base import DATA_FOLDER

_LEVELS = 4
_MOST_REPEATS = 2  # of a line
_PRINTED_CALL = re.compile(r"print\(((\w+)\([^()]*\))\)\n")
_INDENT = "    "
_MOST_FILES = 50
_STANDARD = (
    "math random statistics datetime time re json csv collections itertools functools string "
    "decimal fractions os os.path heapq bisect operator textwrap calendar"
)
_INSTALLED = (
    "numpy pandas matplotlib.pyplot seaborn scipy.stats sympy sklearn.linear_model networkx PIL"
)
_EXCEPTIONS = (
    "Exception ValueError KeyError IndexError TypeError ZeroDivisionError FileNotFoundError"
)
_TYPES = "int float str bool list dict set tuple None"
_CONTROL = r"\x00-\x1f\x7f"
# What ends so names a file.
_FILE_LIKE = r"(csv|tsv|txt|json|jsonl|xlsx|xls|parquet|png|jpg|jpeg|pdf|docx|html|xml|md)"
_STATEMENTS = 'start: statement_0 ("\\n"? statement_0){0,14}'
_FUNCTIONS = (
    "start: (import NL){0,2} (NL{0,2} function){1,2} NL{0,2} (assignment NL){0,2}"
    ' ("print(" arguments ")" NL){1,3}'
)
_RULES = rf"""
expression_line: NAME trailer{{0,5}} ("(" arguments? ")" | "." writing)
assignment: target " = " test | NAME (", " NAME){{1,3}} " = " test (", " test){{0,3}}
    | target AUGMENTED test
target: NAME (("." NAME) | ("[" subscript "]")){{0,2}}
import: "import " MODULE (" as " NAME)? | "from " MODULE " import " NAME (", " NAME){{0,4}}
raising: "raise " EXCEPTION "(" string ")"
test: either (" if " either " else " either)? | "lambda " NAME (", " NAME){{0,2}} ": " either
either: negated ((" and " | " or ") negated){{0,4}}
negated: "not "? compared
compared: computed ((COMPARISON computed){{0,2}} | " is None" | " is not None")
computed: signed (OPERATOR signed){{0,6}}
signed: "-"? operand
operand: NUMBER | primary | "open(" PATH_OUT ", \"w\")" | bracketed | CONSTANT
    | string ("." NAME "(" arguments? ")"){{0,2}}
primary: NAME trailer{{0,6}} | "(" test ")" trailer{{0,3}}
trailer: "." (NAME | writing) | "(" arguments? ")" | "[" subscript "]"
subscript: part (", " part)?
part: test | computed? ":" computed? (":" computed)?
arguments: positional (", " positional){{0,7}} (", " named){{0,5}} | named (", " named){{0,5}}
    | test comprehension
positional: test | "*" primary
named: NAME "=" test
bracketed: "[" (test (", " test){{0,40}})? "]" | "[" test comprehension "]"
    | "(" test (", " test){{1,10}} ")" | "{{" (pair (", " pair){{0,20}})? "}}"
    | "{{" pair comprehension "}}" | "{{" test (", " test){{0,20}} "}}"
pair: either ": " test
comprehension: (" for " NAME (", " NAME){{0,2}} " in " either (" if " either)?){{1,2}}
writing: WRITER PATH_OUT (", " named){{0,2}} ")"
string: TEXT | TEXT_SINGLE | RAW | formatted | PATHS
formatted: "f\"" (PLAIN | "{{" shown FORM? "}}"){{0,12}} "\""
    | "f'" (PLAIN_SINGLE | "{{" shown_plain FORM? "}}"){{0,12}} "'"
shown: shown_part (OPERATOR shown_part){{0,2}}
shown_part: NUMBER | NAME ("." NAME | "(" (shown_plain (", " shown_plain){{0,2}})? ")"
    | "[" (NUMBER | KEY | NAME) "]"){{0,3}}
shown_plain: NAME ("." NAME | "(" (NAME (", " NAME){{0,2}})? ")"){{0,3}}
parameters: plain (", " plain){{0,5}} (", " preset){{0,3}} | preset (", " preset){{0,3}}
plain: NAME NOTE?
preset: NAME "=" test | NAME NOTE " = " test
NOTE: ": " TYPE
TYPE: /{_TYPES.replace(" ", "|")}/
EXCEPTION: /{_EXCEPTIONS.replace(" ", "|")}/
AUGMENTED: " += " | " -= " | " *= " | " /= " | " //= " | " %= "
COMPARISON: " == " | " != " | " < " | " > " | " <= " | " >= " | " in " | " not in "
OPERATOR: " + " | " - " | " * " | " / " | " // " | " % " | " ** " | "**" | " & " | " | "
CONSTANT: "True" | "False" | "None" | "__name__"
NUMBER: /(0|[1-9][0-9]{{0,14}})(\.[0-9]{{1,12}})?(e-?[0-9]{{1,2}})?/
TEXT: /"([^"\\\/{_CONTROL}]([^"\\{_CONTROL}]|\\[nt\\"'])*|\\n[^"\\{_CONTROL}]*)?"/
    & ~/(.|\n)*\.{_FILE_LIKE}"/
TEXT_SINGLE: /'([^'\\\/{_CONTROL}]([^'\\{_CONTROL}]|\\[nt\\"'])*|\\n[^'\\{_CONTROL}]*)?'/
    & ~/(.|\n)*\.{_FILE_LIKE}'/
RAW: /r"([^"\\{_CONTROL}]|\\[dwsbDWSB.+*?()\[\]])*"/
PLAIN: /[^"\\{{}}{_CONTROL}]+/
PLAIN_SINGLE: /[^'\\{{}}{_CONTROL}]+/
KEY: /'[A-Za-z0-9_ ]{{1,30}}'/
FORM: /:,?(\.[0-9])?[fdge%]?/
DOCSTRING: /\"\"\"[^"\\{_CONTROL}]+\"\"\"/
WRITER: "to_csv(" | "to_json(" | "to_excel(" | "savefig("
PATH_OUT: /"\/mnt\/data\/[a-z0-9_]{{1,24}}\.(csv|json|txt|xlsx|png)"/
NL: "\n"
"""


def cell_grammar(names: Sequence[str] = (), *, is_function: bool = False) -> Constraint:
    """The constraint of a cell that may read the files of these names. ``is_function``: it defines
    one or two functions and prints something, once to three times."""
    keywords = "|".join(keyword.kwlist)
    shown = [name for name in names if name.isprintable()][:_MOST_FILES]
    paths = [quote(json.dumps(f"{DATA_FOLDER}/{name}", ensure_ascii=False)) for name in shown]
    modules = [quote(module) for module in (_STANDARD + " " + _INSTALLED).split()]
    rules = re.sub(r"\n +", " ", _RULES).strip().splitlines()
    if not paths:
        rules = [rule.replace(" | PATHS", "") for rule in rules]
    else:
        rules.append(f"PATHS: {' | '.join(paths)}")
    return grammar_of(
        [
            _FUNCTIONS if is_function else _STATEMENTS,
            f"function: {_definition(0)}",
            *_statements(),
            *rules,
            f"MODULE: {' | '.join(modules)}",
            rf"NAME: /[A-Za-z][A-Za-z0-9_]{{0,30}}|_[a-z0-9]{{0,20}}/ & ~/{keywords}/",
        ]
    )


def _statements() -> Iterator[str]:
    """Statements and blocks by level, in functions and in loops or not."""
    contexts = [("", False, False), ("f", True, False), ("l", False, True), ("fl", True, True)]
    for level in range(_LEVELS + 1):
        indent = quote(_INDENT * level) + " " if level else ""
        for mark, in_function, in_loop in contexts:
            if level == 0 and mark:
                continue
            simple = ["expression_line", "assignment", "import", '"pass"', "raising"]
            simple += ['"return" (" " test (", " test){0,2})?'] if in_function else []
            simple += ['"break"', '"continue"'] if in_loop else []
            forms = [f"({' | '.join(simple)}) NL"]
            name = f"{level}{mark}"
            if level < _LEVELS:
                forms += _compounds(level, mark, indent)
            yield f"statement_{name}: {indent}({' | '.join(forms)})"
            if level:
                yield f"block_{name}: statement_{name} (statement_{name}){{0,11}}"


def _compounds(level: int, mark: str, indent: str) -> list[str]:
    inner = level + 1
    loop = mark if "l" in mark else f"{mark}l"
    block, looped = f"block_{inner}{mark}", f"block_{inner}{loop}"
    return [
        f'"if " test ":" NL {block} ({indent}"elif " test ":" NL {block}){{0,3}}'
        f' ({indent}"else:" NL {block})?',
        f'"for " NAME (", " NAME){{0,2}} " in " test ":" NL {looped}',
        f'"while " test ":" NL {looped}',
        f'"with open(" (PATH_OUT ", \\"w\\"" | string) ") as " NAME ":" NL {block}',
        f'"try:" NL {block} {indent}"except" (" " EXCEPTION (" as " NAME)?)? ":" NL {block}',
        _definition(level),
    ]


def _definition(level: int) -> str:
    docstring = f"({quote(_INDENT * (level + 1))} DOCSTRING NL)?"
    head = '"def " NAME "(" parameters? ")" (" -> " TYPE)? ":" NL'
    return f"{head} {docstring} block_{level + 1}f"


def closed(text: str) -> str:
    """The statements of a cell that were written to their end, where it broke off."""
    lines = text.splitlines(keepends=True)
    while lines and not _is_whole("".join(lines)):
        lines.pop()
    return "".join(lines)


def whole_length(text: str) -> int:
    """How many characters of a cell that is being written can be shown: whole statements."""
    ends = [match.start() + 1 for match in re.finditer(r"\n(?=[^\s])", text)]
    return next((end for end in reversed(ends) if _is_whole(text[:end])), 0)


def tidy(code: str) -> str:
    """The code without printing the None of functions that print themselves, and without the same
    line over and over. What more code follows does not change this."""
    lines = code.splitlines(keepends=True)
    seen: Counter[str] = Counter()
    for at, line in enumerate(lines):
        seen[line] += 1
        if line.startswith("print(") and seen[line] > _MOST_REPEATS:
            lines[at] = ""
        match = _PRINTED_CALL.fullmatch(line)
        if match is not None and _returns_nothing("".join(lines[:at]), match[2]):
            lines[at] = f"{match[1]}\n"
    return "".join(lines)


def _returns_nothing(code: str, name: str) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    named = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    returned = (node for function in named for node in ast.walk(function))
    return bool(named) and not any(isinstance(node, ast.Return) for node in returned)


def _is_whole(text: str) -> bool:
    if not text.endswith("\n"):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
