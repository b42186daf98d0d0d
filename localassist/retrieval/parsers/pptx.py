"""PowerPoint presentations: slides with their tables and notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED, check_archive
from localassist.retrieval.parsers.base import TextWriter, one_line
from localassist.retrieval.parsers.tables import row_line


def parse(path: Path, out: TextWriter) -> None:
    import pptx
    from pptx.exc import PythonPptxError

    check_archive(path)
    try:
        slides = pptx.Presentation(str(path)).slides
    except (PythonPptxError, KeyError, ValueError) as error:
        raise UnreadableFile(DAMAGED) from error
    for number, slide in enumerate(slides, 1):
        title = slide.shapes.title
        out.place(slide=number, heading=one_line(title.text_frame.text) if title else None)
        for shape in _shapes(slide.shapes):
            if not _is_decoration(shape):
                _write(shape, out)
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame):
            if notes.text.strip():
                out.paragraph(f"Notes: {notes.text}")


def _shapes(shapes: Any) -> Iterator[Any]:
    """All shapes, those of groups included."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _is_decoration(shape: Any) -> bool:
    """What stands on every slide: date, footer, number."""
    from pptx.enum.shapes import PP_PLACEHOLDER

    repeated = (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER)
    return shape.is_placeholder and shape.placeholder_format.type in repeated


def _write(shape: Any, out: TextWriter) -> None:
    if shape.has_text_frame:
        lines = (paragraph.text.replace("\v", " ") for paragraph in shape.text_frame.paragraphs)
        out.paragraph("\n".join(line for line in lines if line.strip()))
    elif getattr(shape, "has_table", False):
        for row in shape.table.rows:
            out.line(row_line(cell.text_frame.text for cell in row.cells))
        out.add("\n")
