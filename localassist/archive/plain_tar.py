"""Members of a tar of which little is believed.

A header may claim a size below nothing, a name of gigabytes, or a file that is mostly holes. Each
costs whoever wrote it a few bytes, and whoever reads it their memory or their disk.
"""

from __future__ import annotations

import tarfile

_DESCRIBING = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_MOST_DESCRIBING_BYTES = 64 * 1024


class PlainTarInfo(tarfile.TarInfo):
    """Refuses such a header, with the ReadError of every other damage."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> PlainTarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0:
            raise tarfile.ReadError("a size below nothing")
        if info.type in _DESCRIBING and info.size > _MOST_DESCRIBING_BYTES:
            raise tarfile.ReadError("a name or a description without end")
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes")
        return info
