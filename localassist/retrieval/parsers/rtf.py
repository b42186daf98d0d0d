"""Rich Text Format."""

from __future__ import annotations

import re
from pathlib import Path

from localassist.retrieval.parsers.base import TextWriter, squeezed

_PICTURE = re.compile(rb"[0-9a-fA-F\r\n]{256,}")
_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")


def parse(path: Path, out: TextWriter) -> None:
    import codecs

    from striprtf.striprtf import rtf_to_text

    # Pictures are long stretches of hexadecimal digits, which the library would walk through.
    data = _PICTURE.sub(b"", path.read_bytes())
    declared = _CODE_PAGE.search(data[:4096])
    encoding = f"cp{declared[1].decode()}" if declared else "cp1252"
    try:
        codecs.lookup(encoding)
    except LookupError:
        encoding = "cp1252"
    text: str = rtf_to_text(  # type: ignore[no-untyped-call]
        data.decode("latin-1"), encoding=encoding, errors="replace"
    )
    out.add(squeezed(text.replace("\r\n", "\n")))
