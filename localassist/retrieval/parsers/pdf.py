"""PDF: the text layer of every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.base import TextWriter, too_long
from localassist.retrieval.parsers.pages import Line, texts_of


def parse(path: Path, out: TextWriter) -> None:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise _refusal(path, str(error)) from error
    with document:
        if document.get_formtype():
            document.init_forms()
        pages: list[list[Line]] = []
        length = 0
        for number in range(len(document)):
            pages.append(_lines(document, number))
            length += sum(len(line.text) for line in pages[-1])
            if length > out.max_characters:
                raise too_long(out.max_characters)
    if not any(pages):
        raise _without_text(len(pages))
    if _is_garbled(pages):
        raise UnreadableFile(
            "The PDF does not say which letters its fonts show, so its text cannot be read. Run "
            "text recognition (OCR) on it and add the result."
        )
    for number, text in enumerate(texts_of(pages), 1):
        out.place(page=number)
        out.paragraph(text)


def _refusal(path: Path, reason: str) -> UnreadableFile:
    # The reason may be that of an earlier failure; the file itself has to say it, too.
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        is_encrypted = content.find(b"/Encrypt") >= 0
    if is_encrypted and ("password" in reason.lower() or "security" in reason.lower()):
        return UnreadableFile(
            "The PDF is encrypted and needs a password. Save it without one and add it again."
        )
    return UnreadableFile(
        "The PDF is damaged or has no pages. Open it in another program, save it again, and "
        "add the copy."
    )


def _without_text(pages: int) -> UnreadableFile:
    count = "1 page" if pages == 1 else f"{pages} pages"
    return UnreadableFile(
        f"The PDF has {count} but no text layer: it is probably scanned. Run text recognition "
        "(OCR) on it and add the result."
    )


def _is_garbled(pages: list[list[Line]]) -> bool:
    """Whether most letters have only the numbers their fonts give them."""
    letters = Counter(c for page in pages for line in page for c in line.text if not c.isspace())
    unknown = sum(
        n for c, n in letters.items() if c < " " or "\ue000" <= c <= "\uf8ff" or c == "\ufffd"
    )
    return unknown > letters.total() / 2


def _lines(document: Any, number: int) -> list[Line]:
    """The lines of a page; none where the page is damaged, the others may be whole."""
    import pypdfium2

    try:
        with closing(document[number]) as page:
            if page.formenv is None:
                return _lines_of(page)
            page.flatten()  # what was filled in becomes text, seen when the page is opened anew
        with closing(document[number]) as page:
            return _lines_of(page)
    except pypdfium2.PdfiumError:
        return []


def _lines_of(page: Any) -> list[Line]:
    with closing(page.get_textpage()) as text_page:
        return list(_placed(text_page))


def _placed(text_page: Any) -> Iterator[Line]:
    """PDFium's text counts in UTF-16 units, its boxes in letters of its own list."""
    start = 0
    for raw in text_page.get_text_range().split("\r\n"):
        text = raw.replace("\0", "")
        if text.strip():
            lead = len(raw) - len(raw.lstrip())
            last = _units(raw.rstrip()) - 1
            _, begins, _ = _letter(text_page, start + lead)
            right, ends, size = _letter(text_page, start + last)
            yield Line(text, right, begins, ends, size)
        start += _units(raw) + 2


def _units(text: str) -> int:
    return len(text) + sum(c > "\uffff" for c in text)


def _letter(text_page: Any, unit: int) -> tuple[float, float, float]:
    """Right edge, baseline and font height of a letter, zeros where there is none."""
    import ctypes

    import pypdfium2
    from pypdfium2.raw import FPDFText_GetCharIndexFromTextIndex, FPDFText_GetCharOrigin

    index = FPDFText_GetCharIndexFromTextIndex(text_page, unit)
    x, y = ctypes.c_double(), ctypes.c_double()
    if index < 0 or not FPDFText_GetCharOrigin(text_page, index, x, y):
        return 0.0, 0.0, 0.0
    try:
        _, bottom, right, top = text_page.get_charbox(index, loose=True)
    except pypdfium2.PdfiumError:
        return 0.0, 0.0, 0.0
    return right, y.value, top - bottom
