"""Bytes of a text file into text: byte order marks, UTF-8, UTF-16 without a mark, and guesses."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from pathlib import Path

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.base import too_long

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 16
# Bytes that no text has in numbers: controls but tab, line ends, form feed, backspace, escape.
_CONTROLS = bytes({*range(32), 127} - {8, 9, 10, 12, 13, 26, 27})
_KANA = re.compile("[\u3041-\u3093\u30a1-\u30f6]")
_SIGN_IN_WORD = re.compile("[^\\W\\d_][\xa1-\xb6\xb8-\xbf\xd7\xf7][^\\W\\d_]")
_WESTERN = set("àáâãäåæçèéêëìíîïñòóôõöøùúûüÿßœ")
# What CJK text without spaces has all the same; random pairs of bytes hardly ever make these.
_CJK_COMMON = re.compile(
    "[\u3000-\u3002\uff0c\uff1a\uff1f\u3042-\u3093\u30a2-\u30f3\n\u7684\u662f]"
)
_WIDEST = 4


def read_text(path: Path, max_characters: int, declared: str | None = None) -> str:
    """The text of a file. Raises UnreadableFile where it is binary or longer than the limit."""
    most = _WIDEST * max_characters + _WIDEST
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise too_long(max_characters)
    return decode(data, declared)


def decode(data: bytes, declared: str | None = None) -> str:
    """Text of bytes in an unknown encoding; ``declared`` is what the file says of itself, believed
    only where it fits. Raises UnreadableFile for binary data."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    sample = data[:_SAMPLE]
    if wide := _wide_alphabet(sample) or ("" if _begins_as_utf8(sample) else _wide_cjk(sample)):
        return data.decode(wide, "replace")
    if is_binary(sample):
        raise UnreadableFile(
            "The file does not hold text but binary data. Give it the file name extension of what "
            "it is, or save it as text."
        )
    for encoding in ("utf-8", declared or "utf-8"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    if _is_nearly_utf8(sample):
        return data.decode("utf-8", "replace")
    return data.decode(_guess(data), "replace")


def is_binary(sample: bytes) -> bool:
    """Whether the beginning of a file is no text in any encoding of one or more bytes."""
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > 1 + len(sample) / 100


def _wide_alphabet(sample: bytes) -> str | None:
    """UTF-16 without a mark of an alphabet: one byte of each pair has hardly more than one value,
    zero for Latin letters."""
    half = len(sample) // 2
    if half < 2:
        return None
    even, odd = (Counter(sample[i : 2 * half : 2]).most_common(2) for i in (0, 1))
    share_even, share_odd = (sum(n for _, n in top) / half for top in (even, odd))
    encoding, upper = ("utf-16-be", even) if share_even > share_odd else ("utf-16-le", odd)
    # The script of the letters and, for spaces and digits, zero. Above 0x20 no alphabet begins.
    if max(share_even, share_odd) < 0.9 or upper[0][0] >= 0x20 or min(upper)[0] != 0:
        return None
    text = sample[: half * 2].decode(encoding, "replace")
    printable = sum(c.isprintable() or c.isspace() for c in text)
    return encoding if printable > 0.97 * len(text) else None


def _begins_as_utf8(sample: bytes) -> bool:
    """The last letter of a sample may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_nearly_utf8(sample: bytes) -> bool:
    """A few broken places in text that otherwise is UTF-8 with letters beyond ASCII."""
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond = len(text) - len(text.encode("ascii", "ignore")) - broken
    return beyond > 10 * broken


def _guess(data: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8."""
    from charset_normalizer import from_bytes

    first = next(i for i, byte in enumerate(data) if byte > 127)
    start = max(0, first - _SAMPLE // 4) & ~1
    sample = data[start : start + _SAMPLE]
    for encoding in ("euc_jp", "shift_jis"):
        text = sample.decode(encoding, "replace")
        if len(_KANA.findall(text)) > 0.2 * len(text) and "\ufffd" not in text[:-1]:
            return encoding
    best = from_bytes(sample).best()
    guess = "cp1252" if best is None else str(best.encoding)
    if guess == "mac_cyrillic":
        return "cp1251"  # the same but for a few letters, and far more common
    is_latin = guess.startswith(("cp125", "cp4", "cp8", "iso8859", "latin", "mac", "hp_"))
    return "cp1252" if is_latin and _reads_western(sample) else guess


def _reads_western(sample: bytes) -> bool:
    """Whether letters beyond ASCII, read as cp1252, are those of Western Europe: a guess from
    frequencies mistakes short texts for Eastern or Baltic encodings."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    if _SIGN_IN_WORD.search(text):
        return False
    letters = [c for c in text if c.isalpha()]
    beyond = {c.lower() for c in letters if not c.isascii()}
    is_rare = 2 * sum(not c.isascii() for c in letters) < len(letters)
    return is_rare and beyond <= _WESTERN and ("ø" not in beyond or bool(beyond & {"å", "æ"}))


def _wide_cjk(sample: bytes) -> str | None:
    """UTF-16 without a mark, of letters that fill both bytes."""
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample[: len(sample) // 2 * 2].decode(encoding, "replace")
        letters = sum("\u3000" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" for c in text)
        common = len(_CJK_COMMON.findall(text))
        if len(sample) % 2 == 0 and letters > 0.7 * len(text) and common > 0.03 * len(text):
            return encoding
    return None
