"""Rows of numbers and items: those that the question lists, and well-known ones it names."""

from __future__ import annotations

import re

from localassist.tools.code_interpreter.wording import FUNCTION, Measure, measure_of
from localassist.tools.code_interpreter.worked.arithmetic import DIVISORS
from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal
from localassist.tools.evidence.question import Question

_PRIMES = r"prim(?:e numbers?|es|zahlen)"
_FIRST_PRIMES = re.compile(rf"\bfirst\s+(\d{{1,5}})\s+{_PRIMES}", re.IGNORECASE)
_PRIMES_TO = re.compile(
    rf"\b{_PRIMES}\b.{{0,30}}?\b(?:up to|below|under|until|less than|smaller than|bis|to|than)"
    r"\s+(\d{1,6})|\b(?:up to|below|under|less than)\s+(\d{1,6})\b.{0,20}"
    rf"\b{_PRIMES}",
    re.IGNORECASE,
)
_PRIMES_BETWEEN = re.compile(
    rf"\b{_PRIMES}\b.{{0,20}}\b(?:between|from)\s+(\d{{1,6}})\s+(?:and|to)\s+(\d{{1,6}})",
    re.IGNORECASE,
)
_IS_PRIME = re.compile(
    r"\bis\s+(\d{1,12})\s+(?:a\s+)?prime|\bist\s+(\d{1,12})\s+eine\s+primzahl"
    r"|\b(?:check|whether|if)\s+(\d{1,12})\s+is\s+(?:a\s+)?prime",
    re.IGNORECASE,
)
_FACTORS = re.compile(
    r"\b(?:prime )?(?:factor(?:s|i[sz]ation|i[sz]e)?|primfaktor\w*)\b.{0,20}?\b(\d{2,15})\b",
    re.IGNORECASE,
)
_FIBONACCI = re.compile(r"\bfirst\s+(\d{1,4})\b.{0,20}\bfibonacci", re.IGNORECASE)
_NTH_FIBONACCI = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th)\s+fibonacci", re.IGNORECASE)
_SUM_TO = re.compile(
    r"\b(sum|add(?:ing)?(?: up)?|total|summe|product)\b.{0,50}?"
    r"(?:\b(?:from|between)\s+(?=\d+\s+(?:to|and))|(?=(?<![\d.,])\b\d+\s+(?:to|through|until|bis)))"
    r"(\d{1,7})\s+\w+\s+(\d{1,7})\b(?![.,]\d)",
    re.IGNORECASE,
)
_PARITY = re.compile(r"\b(even|odd|gerade|ungerade)", re.IGNORECASE)
_SQUARES = re.compile(r"\bsquares?\b", re.IGNORECASE)
_SORT = re.compile(
    r"\b(?:sort|order|arrange|sortier\w*|put .{0,30} in (?:alphabetical )?order)\b", re.IGNORECASE
)
_DOWN = re.compile(
    r"\b(?:desc\w*|reverse|largest first|high(?:est)? to low(?:est)?|absteigend)", re.I
)
_UNIQUE = re.compile(r"\b(?:dedup\w*|duplicates?|unique|distinct|doppelte\w*)\b", re.IGNORECASE)
_MODULES: dict[Measure, tuple[str, str]] = {
    "mean": ("average", "statistics.mean(values)"),
    "median": ("median", "statistics.median(values)"),
    "std": ("standard deviation", "statistics.stdev(values)"),
    "sum": ("sum", "sum(values)"),
    "min": ("smallest", "min(values)"),
    "max": ("largest", "max(values)"),
    "nunique": ("number of different values", "len(set(values))"),
    "count": ("number of values", "len(values)"),
}
_IS_PRIME_CODE = (
    "def is_prime(n):",
    "    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))",
    "",
)
_SHORT_WORD = re.compile(r"[\w.'’ -]{1,40}")
_LISTED = re.compile(
    r"(?:[:\[(]|\b(?:of|sort|these|words|items|list|names|numbers))\s*([^:?!\n]+)", re.I
)


def sequence(asked: Asked) -> Worked | None:
    """What is asked of a row of values that the question gives or names."""
    if FUNCTION.search(asked.text):
        return None
    for form in (_primes, _factors, _fibonacci, _range, _listed):
        made = form(asked)
        if made is not None:
            return Worked(made, f"the question's {form.__name__.strip('_')}")
    return None


def _primes(asked: Asked) -> str | None:
    text = asked.text
    single = _IS_PRIME.search(text)
    if single is not None:
        number = single[1] or single[2] or single[3]
        yes, no = f"{number} is a prime number", f"{number} is not a prime number"
        return cell(
            f"Whether {number} is prime",
            *_IS_PRIME_CODE,
            f"print({literal(yes)} if is_prime({number}) else {literal(no)})",
        )
    first, to, between = (
        form.search(text) for form in (_FIRST_PRIMES, _PRIMES_TO, _PRIMES_BETWEEN)
    )
    if first is not None:
        made = [
            "primes = []",
            "number = 2",
            f"while len(primes) < {first[1]}:",
            "    if is_prime(number):",
            "        primes.append(number)",
            "    number += 1",
        ]
        what = f"the first {first[1]} primes"
    elif between is not None:
        what = f"the primes from {between[1]} to {between[2]}"
        made = [f"primes = [n for n in range({between[1]}, {between[2]} + 1) if is_prime(n)]"]
    elif to is not None:
        limit = to[1] or to[2]
        what = f"the primes up to {limit}"
        made = [f"primes = [n for n in range(2, {limit} + 1) if is_prime(n)]"]
    else:
        return None
    measure = measure_of(text)
    if measure in ("sum", "count", "mean", "max"):
        word, code = _MODULES[measure]
        code = code.replace("values", "primes")
        imports = ["import statistics", ""] if "statistics" in code else []
        word = "number" if measure == "count" else word
        shown = [f"print({literal(f'The {word} of {what} is')}, {code})"]
    else:
        imports, shown = [], [f"print({literal(f'{what[:1].upper()}{what[1:]}:')}, *primes)"]
    return cell(f"Compute {what}", *imports, *_IS_PRIME_CODE, *made, *shown)  # fmt: skip


def _factors(asked: Asked) -> str | None:
    match = _FACTORS.search(asked.text)
    if match is None:
        return None
    number = match[1]
    if "prime" in match.group().lower() or "prim" in asked.text.lower():
        return cell(
            f"The prime factors of {number}",
            f"n = {number}",
            "factors = []",
            "divisor = 2",
            "while divisor * divisor <= n:",
            "    while n % divisor == 0:",
            "        factors.append(divisor)",
            "        n //= divisor",
            "    divisor += 1",
            "if n > 1:",
            "    factors.append(n)",
            f'print({literal(f"{number} =")}, " * ".join(map(str, factors)))',
        )
    return cell(
        f"The factors of {number}",
        f"n = {number}",
        "small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]",
        "factors = sorted({*small, *(n // d for d in small)})",
        f"print({literal(f'The factors of {number}:')}, *factors)",
    )


def _fibonacci(asked: Asked) -> str | None:
    first, nth = _FIBONACCI.search(asked.text), _NTH_FIBONACCI.search(asked.text)
    match = first or nth
    if match is None:
        return None
    count = match[1]
    shown = (
        f"print({literal(f'The first {count} Fibonacci numbers:')}, *numbers)"
        if first is not None
        else f"print({literal(f'Fibonacci number {count} (counted from F1 = 1) is')}, numbers[-1])"
    )
    start = "0, 1" if first is not None else "1, 1"
    return cell(
        f"Fibonacci numbers, {count} of them",
        "numbers = []",
        f"a, b = {start}",
        f"for _ in range({count}):",
        "    numbers.append(a)",
        "    a, b = b, a + b",
        shown,
    )


def _range(asked: Asked) -> str | None:
    match = _SUM_TO.search(asked.text)
    if match is None or re.search(r"\bprim", asked.text, re.IGNORECASE):
        return None
    is_product = match[1].lower() == "product"
    first, last = match[2], match[3]
    parity, squares = _PARITY.search(asked.text), _SQUARES.search(asked.text)
    kind = ""
    condition = ""
    if parity is not None:
        is_odd = parity[1].lower() in ("odd", "ungerade")
        kind, condition = ("odd ", " if n % 2 == 1") if is_odd else ("even ", " if n % 2 == 0")
    value = "n**2" if squares is not None else "n"
    of = f"the {kind}numbers from {first} to {last}"
    if squares is not None:
        of = f"the squares of {of}"
    values = f"{value} for n in range({first}, {last} + 1){condition}"
    if is_product:
        shown = f"print({literal(f'The product of {of} is')}, math.prod({values}))"
        return cell(f"The product of {of}", "import math", "", shown)
    return cell(f"The sum of {of}", f"print({literal(f'The sum of {of} is')}, sum({values}))")


def _listed(asked: Asked) -> str | None:
    """A list that the question gives itself."""
    if DIVISORS.search(asked.text):
        return None
    values = _numbers(asked)
    wants_order = _SORT.search(asked.text)
    if values is None and (wants_order or _UNIQUE.search(asked.text)) and not asked.files:
        values = _texts(asked.text)
    if values is None:
        return None
    lines = [f"values = [{', '.join(values)}]"]
    if _UNIQUE.search(asked.text) and not re.search(r"how many|number of", asked.text, re.I):
        lines.append("values = list(dict.fromkeys(values))")
        if not wants_order:
            return cell("The list without duplicates", *lines, "print(values)")
    if wants_order:
        reverse = ", reverse=True" if _DOWN.search(asked.text) else ""
        return cell("The list in order", *lines, f"print(sorted(values{reverse}))")
    measure = measure_of(asked.text)
    if measure is None or values[0].startswith('"'):
        return None
    word, code = _MODULES[measure]
    imports = ["import statistics", ""] if "statistics" in code else []
    return cell(f"The {word} of the numbers", *imports, *lines,
                f"print({literal(f'The {word} is')}, {code})")  # fmt: skip


def _numbers(asked: Asked) -> list[str] | None:
    question = Question(asked.text, asked.today)
    rows = [row for row in question.number_rows if len(row.items) > 2]
    if not rows:
        rows = [row for row in question.number_rows if len(row.items) > 1 and not asked.files]
    if not rows:
        return None
    longest = max(rows, key=lambda row: len(row.items))
    readings = {number.span: number.readings[0] for number in question.numbers}
    found = [readings[span] for span in longest.items if span in readings]
    return found if len(found) == len(longest.items) else None


def _texts(text: str) -> list[str] | None:
    for match in _LISTED.finditer(text):
        parts = [part.strip(" \"'“”‘’.[]()") for part in re.split(r",|;|\band\b", match[1])]
        parts = [part for part in parts if part]
        if len(parts) > 2 and all(_SHORT_WORD.fullmatch(part) for part in parts):
            return [literal(part) for part in parts]
    return None
