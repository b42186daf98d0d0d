from __future__ import annotations

import pytest

from localassist.tools.code_interpreter.own_code import own_code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x = 41", "x = 41\n"),
        ("x + 1", "x + 1\n"),
        ("what = 3", "what = 3\n"),
        ("print(2**100)", "print(2**100)\n"),
        ("import math\nmath.pi", "import math\nmath.pi\n"),
        ("for i in range(3):\n    print(i)", "for i in range(3):\n    print(i)\n"),
        ("Run this:\n```python\nprint(1)\n```\nThanks!", "print(1)\n"),
        ("```\na = 1\n```\nand\n```py\nb = 2\n```", "a = 1\nb = 2\n"),
        ("Please run this code: sum(range(10))", "sum(range(10))\n"),
        (">>> x = 3\n>>> x * 2", "x = 3\nx * 2\n"),
        ("sorted([3, 1, 2], reverse=True)", "sorted([3, 1, 2], reverse=True)\n"),
        ("evaluate `len('abc')`", "len('abc')\n"),
    ],
)
def test_code_is_taken_as_it_is(message: str, code: str) -> None:
    assert own_code(message) == code


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "Thanks (again)",
        "well-done",
        "state-of-the-art",
        "yes and no",
        "42",
        "2024-10-11",
        "555-1234",
        "What is 2 + 2?",
        "what is 3*7",
        "Calculate (12.5 + 7.5) * 3 / 4",
        "note: good",
        "not bad",
        "Hi, there",
        "Explain this code:\n```python\nprint(1)\n```",
        "What does this do?\n```\nprint(1)\n```",
        "```json\n{}\n```",
        "```python\n```",
        "",
        "x = " + "(" * 5000,
    ],
)
def test_other_messages_are_not_code(message: str) -> None:
    assert own_code(message) is None
