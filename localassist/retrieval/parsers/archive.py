"""ZIP archives of XML, which most office formats are, opened with suspicion."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile

# Real documents unpack to three to thirty times their size, sheets of zeros to a hundred.
_ALWAYS_FINE = 64 << 20
_LARGEST_RATIO = 120
_LARGEST = 4 << 30
_MOST_MEMBERS = 50_000
# A tree of XML takes about ten times its text.
_LARGEST_XML = 512 << 20

DAMAGED = (
    "The file is damaged and cannot be opened. Open it in the program that made it, save it again, "
    "and add the copy."
)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A checked archive; damage found while it is read is UnreadableFile too."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path.stat().st_size)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UnreadableFile(DAMAGED) from error


def check_archive(path: Path) -> None:
    """For files that a library opens by itself."""
    with open_archive(path):
        pass


def _check(archive: zipfile.ZipFile, packed: int) -> None:
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableFile("The file is encrypted. Save it without a password and add it again.")
    # Against the size on disk: members of a bomb may share the same packed bytes.
    unpacked = sum(member.file_size for member in members)
    is_bomb = unpacked > _ALWAYS_FINE and unpacked > _LARGEST_RATIO * packed
    if is_bomb or unpacked > _LARGEST or len(members) > _MOST_MEMBERS:
        raise UnreadableFile(
            f"The file unpacks to {unpacked / 2**20:,.0f} MiB in {len(members):,} parts, which is "
            "more than a document should; it was not opened."
        )


def xml_root(archive: zipfile.ZipFile, name: str) -> Any:
    """The root element of a member. Raises KeyError where there is none."""
    from lxml import etree

    if archive.getinfo(name).file_size > _LARGEST_XML:
        raise UnreadableFile("The document is too long to be read at once. Split it and try again.")
    try:
        return etree.fromstring(archive.read(name), xml_parser())
    except etree.XMLSyntaxError as error:
        raise_if_out_of_memory(error)
        raise UnreadableFile(DAMAGED) from error


def raise_if_out_of_memory(error: Any) -> None:
    """lxml tells a want of memory as an error of syntax."""
    from lxml import etree

    if error.code == etree.ErrorTypes.ERR_NO_MEMORY or "memory" in str(error).lower():
        raise MemoryError from error


def xml_parser() -> Any:
    """Neither entities nor the network, and none of the limits against bombs taken off."""
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
