"""Code that the user gives, to be run as it is."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*\2", re.M | re.S)
_PYTHON = frozenset(["", "python", "py", "python3", "ipython"])
_PROMPT = re.compile(r"^(?:>>>|\.\.\.) ?", re.M)
_LEAD = re.compile(
    r"^\W*(?:please |can you |could you )*(?:run|execute|evaluate|try|test|eval|führe?)\b"
    r"(?: (?:this|the|my|following|code|python|snippet|for me|it|aus))*\s*:?\s*",
    re.IGNORECASE,
)
# What people do not write unless they mean code.
_STATEMENTS = (
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef,
    ast.ClassDef, ast.For, ast.While, ast.With, ast.If, ast.Try, ast.Delete,
)  # fmt: skip
# What means a sum by people's signs, not Python's.
_SUM = re.compile(r"(?=.*(?:\^|sqrt))(?:sqrt|[\d\s.()+*/^%-])+", re.DOTALL)
# "what is 3 * 7" is an expression of Python, too.
_QUESTION = re.compile(r"(?:what|who|which|where|when|how|was|wer|wie)\s", re.IGNORECASE)
_DATE_LIKE = re.compile(r"[\d\s./-]+")
_LONGEST = 20_000  # characters
# Such a question wants the code explained or changed.
_ABOUT_CODE = re.compile(
    r"\b(?:explain|what does|why|fix|improve|rewrite|refactor|translate|convert|comment|review"
    r"|optimi[sz]e|bug|wrong|document|erkläre?)\b",
    re.IGNORECASE,
)


def own_code(message: str) -> str | None:
    """The code of the message that is to be run, None where it has none."""
    if len(message) > _LONGEST:
        return None
    fences = [match for match in _FENCE.finditer(message) if match[3].lower() in _PYTHON]
    if fences:
        if _ABOUT_CODE.search(_FENCE.sub("", message)):
            return None
        code = "\n".join(textwrap.dedent(match[4]).strip("\n") for match in fences)
        return f"{code}\n" if code.strip() else None
    stripped = message.strip()
    without_lead = _LEAD.sub("", stripped, count=1)
    for candidate in dict.fromkeys((stripped, without_lead, stripped.strip("`"))):
        code = _PROMPT.sub("", textwrap.dedent(candidate)).strip("` \n")
        if is_code(code, is_announced=candidate is without_lead and candidate != stripped):
            return f"{code}\n"
    return None


def is_code(text: str, *, is_announced: bool = False) -> bool:
    """The text is Python and nothing that people say. ``is_announced``: somebody has said that code
    follows, so that a name alone is code too."""
    if not text or _DATE_LIKE.fullmatch(text) or _SUM.fullmatch(text):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if not tree.body:
        return False
    # "note: good" and the like are annotations of names.
    if all(isinstance(node, ast.AnnAssign) and node.value is None for node in tree.body):
        return False
    if any(isinstance(node, _STATEMENTS) for node in tree.body):
        return True
    if _QUESTION.match(text):
        return False
    values = [node.value for node in tree.body if isinstance(node, ast.Expr)]
    return is_announced or any(map(_is_computing, values))


def _is_computing(value: ast.expr) -> bool:
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    # "Thanks (again)" and "Calculate (1 + 2) * 3" have a space where calls have none.
    if not all(map(_is_close, calls)):
        return False
    if isinstance(value, ast.BinOp | ast.Compare):
        return bool(calls) or any(isinstance(node, ast.Constant) for node in ast.walk(value))
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.Tuple):
        return bool(calls)
    kinds = ast.Call | ast.Subscript | ast.ListComp | ast.DictComp | ast.GeneratorExp
    return isinstance(value, kinds)


def _is_close(call: ast.Call) -> bool:
    """The parenthesis stands right behind what is called."""
    end = call.func.end_col_offset or 0
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    names = [len(keyword.arg or "") + 1 for keyword in call.keywords]
    if not arguments:
        return (call.end_col_offset or 0) <= end + 2
    first = arguments[0]
    if call.func.end_lineno != first.lineno:
        return True
    return first.col_offset <= end + 1 + (0 if call.args else names[0])
