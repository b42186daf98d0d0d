"""Messages of kernels into outputs; the messages were recorded from ipykernel 7."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from localassist.sandbox.cell_outputs import MAX_DISPLAYS, MAX_MESSAGES, CellOutputs
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import Image, Logs
from localassist.sandbox.plain_text import PlainText, shortened, without_controls

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


def outputs(**limits: int) -> CellOutputs:
    return CellOutputs(Limits.of(SandboxSettings(**limits)))


def display(kind: str = "display_data", display_id: str | None = None, **data: Any) -> Any:
    content = {
        "data": {name.replace("_", "/", 1): value for name, value in data.items()},
        "metadata": {},
        "transient": {"display_id": display_id} if display_id else {},
    }
    return kind, content


def printed(text: str, name: str = "stdout") -> Any:
    return "stream", {"name": name, "text": text}


def png(extra: bytes = b"") -> str:
    return base64.b64encode(PNG + extra).decode() + "\n"


def read_all(of: CellOutputs, *messages: Any) -> list[Logs | Image]:
    return [item for message in messages for item in of.read(*message)] + of.end()


def text_of(items: list[Logs | Image]) -> str:
    return "".join(item.text for item in items if isinstance(item, Logs))


def test_prints_results_and_images_come_in_order() -> None:
    items = read_all(
        outputs(),
        printed("a\n"),
        printed("warned\n", "stderr"),
        display(image_png=png(), text_plain="<Figure size 640x480 with 1 Axes>"),
        printed("b"),
        display("execute_result", text_plain="41"),
    )
    assert items == [
        Logs("a\n"),
        Logs("warned\n"),
        Image("image/png", PNG),
        Logs("b"),
        Logs("\n41\n"),
    ]


def test_a_jpeg_is_an_image_and_only_what_begins_like_one() -> None:
    jpeg = base64.b64encode(JPEG).decode()
    assert read_all(outputs(), display(image_jpeg=jpeg)) == [Image("image/jpeg", JPEG)]
    fake = base64.b64encode(b"<script>").decode()
    assert read_all(outputs(), display(image_png=fake, text_plain="seen")) == [Logs("seen\n")]
    assert read_all(outputs(), display(image_png=jpeg)) == []
    assert read_all(outputs(), display(image_png="no base64 \x00 ü")) == []


def test_what_is_made_for_a_browser_is_dropped() -> None:
    items = read_all(
        outputs(),
        display(text_html="<script>x</script>"),
        ("display_data", {"data": {"image/svg+xml": "<svg/>", "application/javascript": "x"}}),
        ("comm_open", {"comm_id": "1", "data": {}}),
        display(text_html="<table>", text_plain="   a\n0  1"),
    )
    assert items == [Logs("   a\n0  1\n")]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"text": 3},
        {"data": []},
        {"data": {"text/plain": ["a"]}},
        {"traceback": 1},
        {"data": None},
    ],
)
@pytest.mark.parametrize(
    "kind", ["stream", "display_data", "update_display_data", "clear_output", "x"]
)
def test_messages_of_another_form_are_nothing(kind: str, content: dict[str, Any]) -> None:
    assert read_all(outputs(), (kind, content)) == []


def test_an_error_is_its_traceback_without_colours() -> None:
    of = outputs()
    lines = ["\x1b[31m-----\x1b[39m", "\x1b[31mNameError\x1b[39m: name '\x1b[1mx\x1b[22m'"]
    items = read_all(
        of, printed("1"), ("error", {"ename": "NameError", "evalue": "x", "traceback": lines})
    )
    assert text_of(items) == "1\n-----\nNameError: name 'x'\n"
    assert of.error_name == "NameError"
    assert text_of(read_all(outputs(), ("error", {"ename": "A", "evalue": "b"}))) == "A: b\n"


def test_a_huge_traceback_keeps_its_beginning_and_end() -> None:
    lines = ["first"] + [f"line {n}" for n in range(200_000)] + ["last"]
    content = {"ename": "RecursionError", "evalue": "", "traceback": lines}
    text = text_of(read_all(outputs(), ("error", content)))
    assert text.startswith("first\nline 0\n") and text.endswith("last\n")
    assert "characters left out" in text and len(text) < 7_000


def test_text_beyond_the_limit_is_left_out_but_not_the_traceback() -> None:
    of = outputs(output_characters=100)
    error = ("error", {"ename": "E", "evalue": "", "traceback": ["what went wrong"]})
    text = text_of(read_all(of, printed("a" * 90), printed("b" * 90), error))
    assert text == "a" * 90 + "b" * 10 + "\nwhat went wrong\n"
    assert of.left_out() == [
        "The output was longer than 100 characters; 80 characters were left out."
    ]
    assert not of.is_flood


def test_floods_are_noticed() -> None:
    much, many = outputs(), outputs()
    for _ in range(11):
        much.read(*printed("x" * 1_000_000))
    assert much.is_flood
    for _ in range(MAX_MESSAGES + 1):
        many.read("status", {})
    assert many.is_flood


def test_images_and_displays_beyond_the_limits_are_counted() -> None:
    of = outputs(images=2)
    shown = [display(image_png=png(bytes([n]))) for n in range(5)]
    assert len(read_all(of, *shown)) == 2
    assert of.left_out() == ["At most 2 images are shown; 3 were left out."]
    of = outputs()
    items = read_all(of, *[display(text_plain="x")] * (MAX_DISPLAYS + 7))
    assert len(items) == MAX_DISPLAYS
    assert of.left_out() == ["At most 1,000 values are displayed; 7 were left out."]


def test_an_image_that_is_drawn_anew_is_shown_once() -> None:
    one, two, three = (png(bytes([n])) for n in range(3))
    cleared = read_all(
        outputs(images=1),
        display(image_png=one),
        ("clear_output", {"wait": True}),
        display(image_png=two),
    )
    assert cleared == [Image("image/png", PNG + b"\x01")]
    updated = read_all(
        outputs(),
        display(display_id="a", image_png=one),
        display("update_display_data", "a", image_png=two),
        display("update_display_data", "other", image_png=three),
    )
    assert [item.data[-1] for item in updated if isinstance(item, Image)] == [1, 2]


def test_progress_bars_show_their_last_state() -> None:
    pieces = ["\r  0%|   |", "\r 50%|#  |", "\r100%|## |\n", "done\r\n"]
    items = read_all(outputs(), *(printed(piece, "stderr") for piece in pieces))
    assert text_of(items) == "100%|## |\ndone\n"
    assert text_of(read_all(outputs(), printed("step 1"), printed("\rstep 2"))) == "step 1\nstep 2"


def test_escapes_are_removed_however_the_text_is_cut() -> None:
    text = "a\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\x00\x08\tend\r\nnext \ud800"
    assert without_controls(text) == "ared link\tend\nnext "
    for cut in range(len(text)):
        if 15 <= cut <= 29 or 36 <= cut <= 40:
            continue  # a link's address cut in two is text
        plain = PlainText()
        assert plain.feed(text[:cut]) + plain.feed(text[cut:]) + plain.flush() in (
            "ared link\tend\nnext ",
            "ared link\tend\n\nnext ",  # cut between \r and \n
        ), cut


def test_text_that_never_ends_a_line_is_not_held_for_ever() -> None:
    plain = PlainText()
    shown = sum(len(plain.feed("\r" * (n == 0) + "x" * 1000)) for n in range(20))
    assert shown > 10_000


def test_shortening_keeps_short_text() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("x" * 100, 20) == "x" * 10 + "\n[… 80 characters left out …]\n" + "x" * 10


def test_a_large_image_is_decoded_whole() -> None:
    data = PNG + bytes(range(256)) * 10_000
    encoded = base64.b64encode(data).decode()
    assert read_all(outputs(), display(image_png=encoded)) == [Image("image/png", data)]
    assert read_all(outputs(), display(image_png=encoded[:-1])) == []
