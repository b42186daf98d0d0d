"""Messages of one piece of code into outputs, within limits. Pure.

Of what is displayed, plain text, PNG and JPEG are let through; HTML, scripts, SVG and everything
for a notebook's own use is dropped. Whatever has another form than the protocol's is dropped too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import Image, Logs
from localassist.sandbox.pictures import image_of
from localassist.sandbox.plain_text import PlainText, shortened, without_controls
from localassist.sandbox.wire import DISPLAYS

MAX_DISPLAYS = 1_000
"""Results and displays of one piece of code that are looked at."""
MAX_MESSAGES = 50_000
BOMB_FACTOR = 20
"""Code that prints this many times what is kept of it is stopped."""
MIN_BOMB_CHARACTERS = 10_000_000
TRACEBACK_CHARACTERS = 6_000


class CellOutputs:
    """What one piece of code has printed and shown so far.

    An image waits until something follows it, because it may be drawn anew in its place
    (``clear_output``, ``update_display_data``); text is shown at once and stays."""

    def __init__(self, limits: Limits) -> None:
        self.error_name: str | None = None
        """The class of the exception that ended the code, as it says itself."""
        self._limits = limits
        self._streams = {"stdout": PlainText(), "stderr": PlainText()}
        self._messages = 0
        self._characters_seen = 0
        self._characters_left_out = 0
        self._room = limits.output_characters
        self._line_ended = True
        self._displays = 0
        self._displays_left_out = 0
        self._images = 0
        self._images_left_out = 0
        self._unreadable = 0
        self._waiting: tuple[Image, str | None] | None = None  # with its display id

    @property
    def is_flood(self) -> bool:
        """More than any honest code prints."""
        bomb = max(BOMB_FACTOR * self._limits.output_characters, MIN_BOMB_CHARACTERS)
        return self._messages > MAX_MESSAGES or self._characters_seen > bomb

    def read(self, message_type: str, content: dict[str, Any]) -> list[Logs | Image]:
        """The next message from the kernel."""
        self._messages += 1
        if message_type == "stream":
            return list(self._stream(content))
        if message_type in DISPLAYS:
            return list(self._display(message_type, content))
        if message_type == "error":
            return list(self._error(content))
        if message_type == "clear_output" and self._waiting:
            self._waiting = None
            self._images -= 1
        return []

    def skip(self, count: int = 1) -> None:
        """Messages that could not be read or were too large."""
        self._unreadable += count

    def leave_out(self, characters: int) -> None:
        """Text that was not even read."""
        self._characters_seen += characters
        self._characters_left_out += characters

    def end(self) -> list[Logs | Image]:
        """Nothing more comes."""
        held = "".join(stream.flush() for stream in self._streams.values())
        return [*self._text(held), *self._release()]

    def left_out(self) -> list[str]:
        """Sentences about what was left out."""
        sentences = []
        if self._characters_left_out:
            sentences.append(
                f"The output was longer than {self._limits.output_characters:,} characters; "
                f"{self._characters_left_out:,} characters were left out."
            )
        if self._images_left_out:
            sentences.append(
                f"At most {self._limits.images:,} images are shown; "
                f"{self._images_left_out:,} were left out."
            )
        if self._displays_left_out:
            sentences.append(
                f"At most {MAX_DISPLAYS:,} values are displayed; "
                f"{self._displays_left_out:,} were left out."
            )
        if self._unreadable:
            sentences.append(f"Outputs left out as too large or damaged: {self._unreadable:,}.")
        return sentences

    def _stream(self, content: dict[str, Any]) -> Iterator[Logs | Image]:
        text = content.get("text")
        if not isinstance(text, str):
            return
        self._characters_seen += len(text)
        if not self._room:
            self._characters_left_out += len(text)
            return
        # Text that is overwritten or without effect takes no room, but it is not read for ever.
        readable = 4 * self._limits.output_characters
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        kept = self._streams[name].feed(text[:readable])
        self._characters_left_out += len(text) - len(text[:readable])
        yield from self._text(kept)

    def _display(self, message_type: str, content: dict[str, Any]) -> Iterator[Logs | Image]:
        self._displays += 1
        data = content.get("data")
        if not isinstance(data, dict):
            return
        if self._displays > MAX_DISPLAYS:
            self._displays_left_out += 1
            return
        transient = content.get("transient")
        display_id = transient.get("display_id") if isinstance(transient, dict) else None
        image = image_of(data)
        if image is not None:
            yield from self._image(image, display_id, message_type == "update_display_data")
            return
        text = data.get("text/plain")
        if isinstance(text, str) and message_type != "update_display_data":
            self._characters_seen += len(text)
            readable = text[: self._limits.output_characters]
            self._characters_left_out += len(text) - len(readable)
            yield from self._lines(without_controls(readable))

    def _image(self, image: Image, display_id: object, is_update: bool) -> Iterator[Logs | Image]:
        name = display_id if isinstance(display_id, str) else None
        if is_update and self._waiting and self._waiting[1] == name:
            self._waiting = (image, name)
            return
        if self._images >= self._limits.images:
            self._images_left_out += 1
            return
        yield from self._release()
        self._images += 1
        self._waiting = (image, name)

    def _error(self, content: dict[str, Any]) -> Iterator[Logs | Image]:
        name, value, lines = (content.get(key) for key in ("ename", "evalue", "traceback"))
        self.error_name = without_controls(str(name))[:200]
        text = ""
        if isinstance(lines, list):
            text = "\n".join(line for line in lines if isinstance(line, str))
        if not text.strip():
            text = f"{name}: {value}"
        self._characters_seen += len(text)
        # Shortened twice: what is read is bounded, and so is what is left of it.
        plain = without_controls(shortened(text, 10 * TRACEBACK_CHARACTERS))
        # What went wrong is told in any case, also when there is no room for output any more.
        self._room = max(self._room, 2 * TRACEBACK_CHARACTERS)
        yield from self._lines(shortened(plain, TRACEBACK_CHARACTERS))

    def _lines(self, text: str) -> Iterator[Logs | Image]:
        """Text that begins and ends a line."""
        if text:
            yield from self._text(("" if self._line_ended else "\n") + text.rstrip("\n") + "\n")

    def _text(self, text: str) -> Iterator[Logs | Image]:
        kept = text[: self._room]
        self._characters_left_out += len(text) - len(kept)
        if kept:
            yield from self._release()
            self._room -= len(kept)
            self._line_ended = kept.endswith("\n")
            yield Logs(kept)

    def _release(self) -> Iterator[Image]:
        if self._waiting:
            yield self._waiting[0]
            self._waiting = None
