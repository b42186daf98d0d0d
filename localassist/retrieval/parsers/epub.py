"""EPUB: the chapters of a book in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED, open_archive, xml_root
from localassist.retrieval.parsers.base import HeadingPath, TextWriter
from localassist.retrieval.parsers.encoding import decode
from localassist.retrieval.parsers.html_page import write_html

_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def parse(path: Path, out: TextWriter) -> None:
    with open_archive(path) as archive:
        if _is_protected(archive):
            raise UnreadableFile(
                "The book is protected by digital rights management and cannot be read. Only "
                "unprotected EPUB files can be added."
            )
        headings = HeadingPath()
        for name in _chapters(archive):
            try:
                page = archive.read(name)
            except KeyError:  # listed, but not there
                continue
            write_html(decode(page), out, headings)


def _is_protected(archive: zipfile.ZipFile) -> bool:
    """Whether anything but fonts is encrypted."""
    try:
        root = xml_root(archive, "META-INF/encryption.xml")
    except KeyError:
        return False
    methods = (e.get("Algorithm") for e in root.iter("{*}EncryptionMethod"))
    return any(method not in _FONTS_ONLY for method in methods)


def _chapters(archive: zipfile.ZipFile) -> Iterator[str]:
    """Names of the members with text, in the order of the spine."""
    try:
        container = xml_root(archive, "META-INF/container.xml")
        place = next((e.get("full-path") for e in container.iter("{*}rootfile")), None) or ""
        package = xml_root(archive, place)
    except KeyError as error:
        raise UnreadableFile(DAMAGED) from error
    files = {item.get("id"): item.get("href") or "" for item in package.iter("{*}item")}
    for entry in package.iter("{*}itemref"):
        if href := files.get(entry.get("idref")):
            yield posixpath.normpath(
                posixpath.join(posixpath.dirname(place), unquote(href.partition("#")[0]))
            )
