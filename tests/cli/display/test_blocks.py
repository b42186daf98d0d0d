"""What is taken for finished while a text is written is what the whole text is made of."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from localassist.cli.display.blocks import (
    GROUP_LINES,
    SAMPLE_ROWS,
    Blocks,
    Code,
    Part,
    Rows,
    parts_of,
)
from localassist.cli.display.render import separated

LINES = st.sampled_from(
    [
        *("", "", "", "word", "two words", "# Head", "===", "---", "***", "- a", "- b", "* c", "+"),
        *(
            "1. one",
            "2. two",
            "7) x",
            "1.",
            "  - inner",
            "   deeper",
            "    code",
            "\tcode",
            "      - f",
        ),
        *(
            "> q",
            "> - q",
            ">",
            "```",
            "```py",
            "~~~~",
            "  ```",
            "| a | b |",
            "|---|:-:|",
            "| 1 | 2 |",
        ),
        *(
            "|",
            "a | b",
            "[x]: http://y",
            "[x]",
            "<div>",
            "<!--",
            "`",
            "**b",
            "x **c** `d`",
            "- [ ] t",
        ),
        *("- ```", "  x = '''", "x = '''", "/* a", "b */", "  | a |", "\\", "&#x202e;", "日本"),
    ]
)
TEXTS = st.lists(LINES, max_size=30).map("\n".join)
LONG = "\n".join(
    [
        *("- a", "- b", "", "```c", *(f"/* {n}" for n in range(3 * GROUP_LINES)), "*/ x", "```"),
        *("| n |", "|--:|", *(f"| {n} |" for n in range(3 * SAMPLE_ROWS)), "", "end"),
    ]
)


def shown(parts: Sequence[Part]) -> str:
    console = Console(width=60, force_terminal=True, color_system="truecolor", _environ={})
    with console.capture() as capture:
        for view in separated(parts, is_first=True):
            console.print(view, crop=False, end="")
    return capture.get()


@given(TEXTS, st.lists(st.integers(1, 40), max_size=12))
@example(LONG, [1] * len(LONG))
@example(LONG, [100] * 100)
@example("1. a\n\n2. b", [1] * 10)
def test_any_cut_gives_the_same_lines(text: str, sizes: list[int]) -> None:
    blocks, found, at = Blocks(), [], 0
    for size in sizes:
        blocks.add(text[at : at + size])
        found += blocks.finished()
        blocks.open()  # looking changes nothing
        at += size
    blocks.add(text[at:])
    assert shown(found + blocks.end()) == shown(parts_of(text))


@given(TEXTS)
def test_no_word_is_lost(text: str) -> None:
    console = Console(width=500, color_system=None, _environ={})
    with console.capture() as capture:
        for view in separated(parts_of(text), is_first=True):
            console.print(view, crop=False)
    for word in ("word", "two words", "inner", "deeper", "日本", "one", "http://y"):
        assert capture.get().count(word) == text.count(word)


def test_finished_blocks_and_items_are_given_at_once() -> None:
    blocks = Blocks()
    blocks.add("para\n\n- a\n- b\n")
    assert [type(part).__name__ for part in blocks.finished()] == ["Block", "Item"]
    assert len(blocks.open()) == 1


def test_code_is_given_in_groups() -> None:
    blocks = Blocks()
    blocks.add("```py\n" + "x\n" * (GROUP_LINES + 3))
    (part,) = blocks.finished()
    assert isinstance(part, Code) and len(part.lines) == GROUP_LINES and not part.joins
    blocks.add("```\n")
    (rest,) = blocks.end()
    assert isinstance(rest, Code) and rest.joins and rest.is_last and len(rest.lines) == 3


def test_rows_of_a_long_table_are_given_one_by_one() -> None:
    blocks = Blocks()
    blocks.add("| n |\n|---|\n" + "| 1 |\n" * SAMPLE_ROWS)
    assert len(blocks.finished()) == 1
    blocks.add("| 2 |\n| 3")
    (part,) = blocks.finished()
    assert isinstance(part, Rows) and part.joins and len(part.rows) == 1


def test_a_numbered_list_goes_on_counting() -> None:
    assert "12. c" in shown(parts_of("10. a\n10. b\n10. c"))


def test_what_comes_later_does_not_change_what_was_shown() -> None:
    assert "elsewhere" not in shown(parts_of("see [1]\n\n[1]: http://elsewhere")).split("\n\n")[0]
    assert "[1]: http://elsewhere" in shown(parts_of("see [1]\n\n[1]: http://elsewhere"))


def test_what_is_nested_too_deep_is_shown_as_written() -> None:
    assert "> > x" in shown(parts_of("> " * 60 + "x"))
    assert shown(parts_of("- a\n- " + "- " * 60 + "x")).count("x") == 1
