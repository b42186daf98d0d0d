"""Sums and other arithmetic that the words of a question spell out."""

from __future__ import annotations

import ast
import re

from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal

_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_SPOKEN: tuple[tuple[str, str], ...] = (
    (r"\bto the power of\b|\bhoch\b|\braised to(?: the)?\b|\bpower\b", "**"),
    (r"\bmultiplied (?:by|with)\b|\btimes\b|\bmal\b|[×·⋅✕]", "*"),
    (r"\bdivided by\b|\bgeteilt durch\b|\bover\b|[÷]", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[−–]", "-"),
    (r"\b(?:modulo|mod)\b", "%"),
    (r"\bsquared\b", "**2"),
    (r"\bcubed\b", "**3"),
)
_EXPRESSION = re.compile(r"(?:sqrt|[\d\s.()+*/^%-])+")
_OPERATION = re.compile(r"\d\s*(?:\*\*|//|[-+*/^%])\s*[\d(]|sqrt\s*\(|\)\s*[-+*/^]|!\s*$")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PERCENT_OF = re.compile(
    rf"({_NUMBER})\s*(?:%|per ?cent|prozent)\s*(?:of|von|aus)\s*[$€£]?\s*({_NUMBER})", re.IGNORECASE
)
_PERCENT_CHANGE = re.compile(
    rf"(?:per ?cent(?:age)?|%)\b.{{0,40}}?\b(?:change|increase|decrease|growth|difference)\b"
    rf".{{0,30}}?\bfrom\s*[$€£]?({_NUMBER})\s*to\s*[$€£]?({_NUMBER})",
    re.IGNORECASE,
)
_CHANGED_BY = re.compile(
    rf"\b(increase|raise|decrease|reduce|discount)\w*\s*[$€£]?({_NUMBER})\s*by"
    rf"\s*({_NUMBER})\s*(?:%|per ?cent)",
    re.IGNORECASE,
)
_REDUCED = re.compile(
    rf"[$€£]?\s*({_NUMBER})\s*(?:dollars?|euros?|[$€£])?\b[^.?!]{{0,40}}?\b(reduced|discounted|lowered"
    r"|decreased|cheaper|increased|raised|rises?|grows?|goes up)\b[^.?!\d]{0,20}"
    rf"({_NUMBER})\s*(?:%|per ?cent)",
    re.IGNORECASE,
)
_OFF = re.compile(
    rf"({_NUMBER})\s*(?:%|per ?cent)\s*(off|discount|tip|vat|tax)\b[^\d]{{0,30}}?({_NUMBER})",
    re.IGNORECASE,
)
_SPEED = re.compile(
    rf"({_NUMBER})\s*(km|kilometers?|kilometres?|miles?|meters?|metres?|m)\s+in\s+({_NUMBER})\s*"
    r"(hours?|h|minutes?|min|seconds?|s)\b.*\b(?:speed|fast)\b",
    re.IGNORECASE | re.DOTALL,
)
_ROOT = re.compile(
    rf"\b(square|cube|cubic|quadrat\w*)\s*(?:root|wurzel)?\s*(?:of|aus|von)\s*({_NUMBER})",
    re.IGNORECASE,
)
_FACTORIAL = re.compile(
    r"\bfactorial of\s*(\d+)|\b(\d+)\s*factorial|(?<![\w)])(\d+)!(?!=)", re.IGNORECASE
)
_COMPOUND = re.compile(r"\bcompound(?:ed|ing)?\b", re.IGNORECASE)
_INTEREST = re.compile(r"\binterest\b", re.IGNORECASE)
_MONEY = re.compile(
    rf"[$€£]\s*({_NUMBER})|({_NUMBER})\s*(?:dollars|euros?|pounds|usd|eur)"
    rf"|\b(?:on|of|for)\s+({_NUMBER})(?!\s*(?:%|per ?cent|prozent|years?|jahre))(?![\d.,])",
    re.IGNORECASE,
)
_RATE = re.compile(rf"({_NUMBER})\s*(?:%|per ?cent|prozent)", re.IGNORECASE)
_YEARS = re.compile(r"(\d+)\s*(?:years?|jahre?n?)", re.IGNORECASE)
DIVISORS = re.compile(
    r"\b(gcd|greatest common (?:divisor|factor|denominator)|lcm|least common multiple"
    r"|lowest common multiple|smallest common multiple|ggt|kgv)\b",
    re.IGNORECASE,
)
_INTEGERS = re.compile(r"-?\d[\d,]*(?!\.\d)")
_BASE = re.compile(r"\b(\d+)\s+(?:in|into|to|as)\s+(binary|hex(?:adecimal)?|octal)\b"
                   r"|\b(binary|hexadecimal|octal)\s+(?:form|representation|value)?\s*(?:of|for)\s+(\d+)",
                   re.IGNORECASE)  # fmt: skip
_CELSIUS = re.compile(
    rf"({_NUMBER})\s*(?:degrees?\s*|°\s*)?(celsius|fahrenheit|c|f)\b\s*(?:in|into|to|as)\s*"
    r"(?:degrees?\s*|°\s*)?(celsius|fahrenheit|c|f)\b",
    re.IGNORECASE,
)  # fmt: skip
_MOST_POWER = 5  # digits of an exponent


def arithmetic(asked: Asked) -> Worked | None:
    """An expression or one of a few relations between the numbers of the question."""
    text = _GROUPED.sub("", asked.text.replace("\u00a0", " "))
    for form in (
        _change,
        _speed,
        _interest,
        _percent,
        _divisors,
        _root,
        _factorial,
        _base,
        _degrees,
        _expression,
    ):
        made = form(text)
        if made is not None:
            shown, code, imports = made
            lines = [*([imports, ""] if imports else []), f"result = {code}"]
            lines += (
                ["if isinstance(result, float):", "    result = round(result, 10)"]
                if _may_be_float(code)
                else []
            )
            return Worked(
                cell(f"Compute {shown}", *lines, f"print({literal(shown + ' =')}, result)"),
                f"the numbers of the question: {shown}",
            )
    return None


Made = tuple[str, str, str]
"""What is computed in words, as code, and what that imports."""


def _may_be_float(code: str) -> bool:
    return "/" in code or "." in code or "sqrt" in code or "**" in code


def _expression(text: str) -> Made | None:
    for form, sign in _SPOKEN:
        text = re.sub(form, f" {sign} ", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])", " * ", text)
    text = re.sub(r"\bsquare root of\s*(\d+(?:\.\d+)?)", r"sqrt(\1)", text, flags=re.IGNORECASE)
    found = max(
        (match.group().strip(" .-+*/%^") for match in _EXPRESSION.finditer(text)),
        key=len,
        default="",
    )
    for match in _EXPRESSION.finditer(text):
        shown = " ".join(match.group().strip(" .+*/%^\n").split())
        # In "x^2 - 5x" the 2 and the 5 stand for nothing by themselves.
        after, before = text[match.end() : match.end() + 1], text[: match.start()][-1:]
        is_cut = after.isalpha() and text[match.end() - 1].isdigit()
        if is_cut or (before.isalpha() and not match.group()[0].isspace()):
            continue
        if _OPERATION.search(shown) and len(shown) >= len(found) - 4:
            code = shown.replace("^", "**")
            if _is_arithmetic(code):
                is_root = "sqrt" in code
                return (
                    shown.replace("**", "^"),
                    code.replace("sqrt", "math.sqrt"),
                    ("import math" if is_root else ""),
                )
    return None


def _is_arithmetic(code: str) -> bool:
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    nodes = list(ast.walk(tree))
    powers = [
        node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    ]
    small = all(
        isinstance(power.right, ast.Constant | ast.UnaryOp)
        and len(ast.unparse(power.right)) <= _MOST_POWER
        for power in powers
    )
    is_named = all(node.id == "sqrt" for node in nodes if isinstance(node, ast.Name))
    return small and is_named and any(isinstance(node, ast.BinOp | ast.Call) for node in nodes)


def _percent(text: str) -> Made | None:
    match = _PERCENT_OF.search(text)
    if match is None:
        return None
    share, whole = match[1], match[2]
    return f"{share} % of {whole}", f"{share} / 100 * {whole}", ""


def _change(text: str) -> Made | None:
    match = _PERCENT_CHANGE.search(text)
    if match is not None:
        old, new = match[1], match[2]
        return f"Change from {old} to {new} in per cent", f"({new} - {old}) / {old} * 100", ""
    match = _CHANGED_BY.search(text)
    if match is not None:
        verb, amount, rate = match[1].lower(), match[2], match[3]
        return _by_rate(amount, rate, is_more=verb in ("increase", "raise"))
    match = _REDUCED.search(text)
    if match is not None:
        return _by_rate(match[1], match[3], is_more=match[2].lower().startswith(_UPWARDS))
    match = _OFF.search(text)
    if match is None:
        return None
    rate, kind, amount = match[1], match[2].lower(), match[3]
    if kind in ("tip", "vat", "tax"):
        return f"{rate} % of {amount}", f"{rate} / 100 * {amount}", ""
    return _by_rate(amount, rate, is_more=False)


_UPWARDS = ("incr", "rais", "ris", "grow", "goes up")


def _by_rate(amount: str, rate: str, *, is_more: bool) -> Made:
    sign = "+" if is_more else "-"
    return f"{amount} {sign} {rate} %", f"{amount} * (1 {sign} {rate} / 100)", ""


def _speed(text: str) -> Made | None:
    match = _SPEED.search(text)
    if match is None:
        return None
    length, unit, time, per = match[1], match[2], match[3], match[4].rstrip("s")
    return f"{length} / {time} in {unit} per {per}", f"{length} / {time}", ""


def _interest(text: str) -> Made | None:
    money, rate, years = _MONEY.search(text), _RATE.search(text), _YEARS.search(text)
    is_asked = _INTEREST.search(text) or _COMPOUND.search(text)
    if not is_asked or money is None or rate is None or years is None:
        return None
    amount, per_cent, count = money[1] or money[2] or money[3], rate[1], years[1]
    if _COMPOUND.search(text):
        shown = f"{amount} at {per_cent} % compound interest after {count} years"
        return shown, f"{amount} * (1 + {per_cent} / 100) ** {count}", ""
    shown = f"Simple interest on {amount} at {per_cent} % for {count} years"
    return shown, f"{amount} * {per_cent} / 100 * {count}", ""


def _root(text: str) -> Made | None:
    match = _ROOT.search(text)
    if match is None or _OPERATION.search(text[match.end() - 1 :]):
        return None
    kind, number = match[1].lower(), match[2]
    if "root" not in match.group().lower() and "wurzel" not in match.group().lower():
        return f"{number} {kind}d", f"{number} ** {2 if kind == 'square' else 3}", ""
    if kind.startswith("cub"):
        # math.cbrt needs Python 3.11.
        return f"Cube root of {number}", f"float(numpy.cbrt({number}))", "import numpy"
    return f"Square root of {number}", f"math.sqrt({number})", "import math"


def _factorial(text: str) -> Made | None:
    match = _FACTORIAL.search(text)
    if match is None:
        return None
    number = match[1] or match[2] or match[3]
    if len(number) > 4:
        return None
    return f"{number}!", f"math.factorial({number})", "import math"


def _divisors(text: str) -> Made | None:
    match = DIVISORS.search(text)
    numbers = _INTEGERS.findall(text)
    if match is None or len(numbers) < 2:
        return None
    is_divisor = match[1].lower()[0] == "g"
    function, name = (
        ("gcd", "Greatest common divisor") if is_divisor else ("lcm", "Least common multiple")
    )
    listed = ", ".join(number.replace(",", "") for number in numbers)
    return f"{name} of {listed}", f"math.{function}({listed})", "import math"


def _base(text: str) -> Made | None:
    match = _BASE.search(text)
    if match is None:
        return None
    number, base = match[1] or match[4], (match[2] or match[3]).lower()
    function = {"b": "bin", "h": "hex", "o": "oct"}[base[0]]
    return f"{number} in {base}", f"{function}({number})[2:]", ""


def _degrees(text: str) -> Made | None:
    match = _CELSIUS.search(text)
    if match is None or match[2][0].lower() == match[3][0].lower():
        return None
    number = match[1]
    if match[2][0].lower() == "c":
        return f"{number} °C in °F", f"{number} * 9 / 5 + 32", ""
    return f"{number} °F in °C", f"({number} - 32) * 5 / 9", ""
