"""What a file really is: its first bytes count, then its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from localassist.errors import UnreadableFile, UnsupportedFile
from localassist.retrieval.parsers.archive import DAMAGED
from localassist.retrieval.parsers.encoding import decode
from localassist.retrieval.parsers.registry import PARSERS, suffix_of

_HEAD = 4096
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# Documents that are no text, by what their files must begin with.
_PACKED = frozenset("docx docm dotx pptx pptm ppsx xlsx xlsm xltx odt ods odp ott epub".split())
_IMAGE = "Pictures are not read; add the text that is in them."
_ARCHIVE = "Unpack it and add the files in it."
_NO_TEXT = "It holds no text that could be searched."
_OTHERS = (
    (b"\x89PNG", "a PNG image", _IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", _IMAGE),
    (b"GIF8", "a GIF image", _IMAGE),
    (b"BM", "a bitmap image", _IMAGE),
    (b"II*\0", "a TIFF image", _IMAGE),
    (b"MM\0*", "a TIFF image", _IMAGE),
    (b"RIFF", "a picture, a sound or a film", _NO_TEXT),
    (b"ID3", "a sound", _NO_TEXT),
    (b"OggS", "a sound or a film", _NO_TEXT),
    (b"\x1f\x8b", "a gzip archive", _ARCHIVE),
    (b"BZh", "a bzip2 archive", _ARCHIVE),
    (b"\xfd7zXZ", "an xz archive", _ARCHIVE),
    (b"7z\xbc\xaf", "a 7z archive", _ARCHIVE),
    (b"Rar!", "a RAR archive", _ARCHIVE),
    (b"\x7fELF", "a program", _NO_TEXT),
    (b"MZ", "a program", _NO_TEXT),
    (b"SQLite format 3\0", "an SQLite database", "Export its tables as .csv and add those."),
    (b"GGUF", "the weights of a model", _NO_TEXT),
)
_STREAMS = (
    ("Workbook", "an Excel workbook of before 2007", "Save it as .xlsx and add that."),
    ("Book", "an Excel workbook of before 2007", "Save it as .xlsx and add that."),
    ("PowerPoint Document", "a presentation of before 2007", "Save it as .pptx and add that."),
)
_ADVICE = {
    **dict.fromkeys("png jpg jpeg gif bmp tif tiff webp heic ico".split(), _IMAGE),
    **dict.fromkeys(
        "zip tar gz tgz bz2 xz 7z rar".split(), "Unpack such files and add what is in them."
    ),
    "xls": "Save it as .xlsx and add that.",
    "ppt": "Save it as .pptx and add that.",
    "pages": "Export it as .docx or .pdf and add that.",
    "mobi": "Convert it to .epub and add that.",
}
_ADVICE_FOR_OTHERS = "Save the text in a format that can, such as .pdf, .docx, .md or .txt."
_MEDIA_TYPES = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.presentation": "odp",
}


def kind_of(path: Path, filename: str) -> str:
    """The key in ``PARSERS`` of the parser for this file, which may be misnamed.

    Raises UnsupportedFile where there is none, UnreadableFile where the content is something else
    than the name says and cannot be read.
    """
    suffix = suffix_of(filename)
    if suffix and suffix not in PARSERS:
        advice = _ADVICE.get(suffix, _ADVICE_FOR_OTHERS)
        raise UnsupportedFile(f"Files with the extension .{suffix} cannot be searched. {advice}")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip(b" \t\r\n\0"):
        raise UnreadableFile("The file is empty.")
    if head.startswith(_ZIP):
        return _zip_kind(path, suffix)
    if head.startswith(_OLE):
        return _ole_kind(path, suffix)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"%PDF-") or (suffix == "pdf" and b"%PDF-" in head[:1024]):
        return "pdf"
    if start.startswith(b"{\\rtf"):
        return "rtf"
    for mark, description, advice in _OTHERS:
        # A text may begin with the same letters.
        if head.startswith(mark) and not _is_text(head):
            raise _other(suffix, description, advice)
    return _text_kind(head, suffix)


def _text_kind(head: bytes, suffix: str) -> str:
    """For files without any mark: text, or a document that is none."""
    is_page = (
        head[:512].lower().lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<!doctype html", b"<html"))
    )
    if suffix == "doc" and _is_text(head):
        # Pages were once saved "for Word", and documentation in plain text had this extension.
        return "html" if is_page else "txt"
    if suffix in _PACKED or suffix in ("pdf", "doc", "rtf"):
        what = "a web page" if is_page else "plain text" if _is_text(head) else ""
        if what:
            raise UnreadableFile(
                f"The file is named .{suffix} but holds {what}. Give it the right extension and "
                "add it again."
            )
        raise UnreadableFile(
            f"The file is named .{suffix} but is not one, or its start is damaged."
        )
    if suffix:
        return suffix
    if not _is_text(head):
        raise UnsupportedFile(
            "The file has no extension, and what kind of data it holds cannot be told. Add it with "
            "the extension of its format."
        )
    return "html" if is_page else "txt"


def _zip_kind(path: Path, suffix: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            is_small = "mimetype" in names and archive.getinfo("mimetype").file_size < 256
            media_type = archive.read("mimetype").strip() if is_small else b""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        if suffix in _PACKED:
            raise UnreadableFile(DAMAGED) from error
        raise _other(suffix, "a damaged ZIP archive", _NO_TEXT) from error
    if media_type in _MEDIA_TYPES:
        return _MEDIA_TYPES[media_type]
    if "META-INF/container.xml" in names:
        return "epub"
    for folder, kind in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return kind
    if suffix in _PACKED:
        if suffix in ("odt", "ods", "odp", "ott") and "content.xml" in names:
            return suffix
        raise UnreadableFile(
            f"The file is named .{suffix} but is a ZIP archive without a document in it."
        )
    raise _other(suffix, "a ZIP archive", _ARCHIVE)


def _ole_kind(path: Path, suffix: str) -> str:
    import olefile

    try:
        with olefile.OleFileIO(path) as compound:
            names = {entry[0] for entry in compound.listdir()}
    except (OSError, IndexError, ValueError) as error:
        raise UnreadableFile(DAMAGED) from error
    if "EncryptedPackage" in names:
        raise UnreadableFile(
            "The document is encrypted. Save it without a password and add it again."
        )
    if "WordDocument" in names:
        return "doc"
    for stream, description, advice in _STREAMS:
        if stream in names:
            raise _other(suffix, description, advice)
    raise _other(suffix, "an old Office file of an unknown kind", _NO_TEXT)


def _other(suffix: str, description: str, advice: str) -> UnreadableFile | UnsupportedFile:
    if not suffix:
        return UnsupportedFile(f"The file is {description}. {advice}")
    return UnreadableFile(f"The file is named .{suffix} but is {description}. {advice}")


def _is_text(head: bytes) -> bool:
    try:
        decode(head)
    except UnreadableFile:
        return False
    return True
