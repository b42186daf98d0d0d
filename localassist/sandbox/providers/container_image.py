"""The image of containers: folders to mount on, and a few texts that programs look for in ``/etc``.

Programs and libraries are those of the host, bound read-only. So nothing is pulled, nothing grows
old, and the image is a tar of some kilobytes that the engine is handed once.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

from localassist.sandbox.providers.bubblewrap_arguments import ETC
from localassist.sandbox.providers.startup import HOME

_FOLDERS = "usr etc proc dev sys run mnt mnt/data home".split()
# What engines mount here takes over these modes, whatever they were asked for.
_OPEN_FOLDERS = ("tmp", HOME.removeprefix("/"))


def image_tar(uid: int, gid: int, links: Mapping[str, str]) -> bytes:
    """The image for kernels that run as this user and group; equal for equal arguments. ``links``
    are those of / that lead into /usr."""
    texts = {
        **ETC,
        "passwd": f"sandbox:x:{uid}:{gid}::{HOME}:/usr/sbin/nologin\n",
        "group": f"sandbox:x:{gid}:\n",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in (*_FOLDERS, *_OPEN_FOLDERS):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name in _OPEN_FOLDERS else 0o755
            tar.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name.removeprefix("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"etc/{name}")
            entry.size, entry.mode = len(text), 0o444
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def image_name(tar: bytes) -> str:
    """``localhost`` keeps engines from looking for it in a registry."""
    return f"localhost/localassist-sandbox:{hashlib.sha256(tar).hexdigest()[:16]}"
