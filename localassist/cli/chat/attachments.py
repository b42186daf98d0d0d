"""Files that go with a message: which of them are of use, and for which of the tools."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.documents import Progress

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file and the kinds of tools that get it."""

    path: Path
    tools: tuple[str, ...]


class Unusable(Exception):
    """Files cannot be attached; the text says why."""

    def __init__(self, reason: str, paths: Collection[Path] = ()) -> None:
        super().__init__(reason)
        self.paths = paths


def is_image(path: Path) -> bool:
    return path.suffix.lower() in _IMAGES


def attachment_for(path: Path, *, runs_code: bool) -> Attachment:
    """How a file goes with a message: documents are searched, and whatever there is can be read by
    code where code may be run. Raises Unusable."""
    reason = why_unusable(path)
    if reason is not None:
        raise Unusable(reason)
    tools: tuple[str, ...] = ("file_search",) if _is_document(path) else ()
    if runs_code:
        tools += ("code_interpreter",)
    if tools:
        return Attachment(path, tools)
    if is_image(path):
        raise Unusable(
            f"{path} is an image, and the model reads text only. With /code on, code can open it."
        )
    raise Unusable(
        f"{path} is no document that can be searched. With /code on, code can read any file."
    )


def why_unusable(path: Path) -> str | None:
    """What keeps a file from being uploaded, as a sentence."""
    if path.is_dir():
        return f"{path} is a folder; --docs and /docs take folders."
    if not path.is_file():
        return f"There is no file {path}."
    if not os.access(path, os.R_OK):
        return f"{path} cannot be read."
    return None if path.stat().st_size else f"{path} is empty."


def upload(client: LocalAssist, attachments: Sequence[Attachment]) -> list[Any]:
    """The files uploaded, as the attachments of a message. Where one cannot be, none stays. Raises
    what the SDK raises, and OSError for a file that has gone."""
    made: list[Any] = []
    try:
        for one in attachments:
            file = client.files.create(file=one.path, purpose="assistants")
            made.append({"file_id": file.id, "tools": [{"type": kind} for kind in one.tools]})
    except BaseException:
        discard(client, made)
        raise
    return made


def wait_until_read(
    client: LocalAssist,
    thread_id: str,
    attachments: Sequence[Attachment],
    uploaded: Sequence[Any],
    on_progress: Progress,
) -> None:
    """Wait until what has been attached to the thread can be searched. Raises Unusable for files
    that cannot be and that code does not read either, and what the SDK raises."""
    from localassist.client.documents import read_files

    files = {
        file["file_id"]: one
        for file, one in zip(uploaded, attachments, strict=True)
        if "file_search" in one.tools
    }
    if not files:
        return
    found = client.beta.threads.retrieve(thread_id).tool_resources
    stores = found and found.file_search and found.file_search.vector_store_ids
    assert stores, "attaching has made one"
    names = {file_id: str(one.path) for file_id, one in files.items()}
    reasons = {one.name: one.reason for one in read_files(client, stores[0], names, on_progress)}
    lost = [
        one.path
        for one in files.values()
        if str(one.path) in reasons and one.tools == ("file_search",)
    ]
    if lost:
        raise Unusable(" ".join(f"{path}: {reasons[str(path)]}" for path in lost), lost)


def discard(client: LocalAssist, uploaded: Iterable[Any]) -> None:
    """Delete files that are of no use to anybody."""
    for file in uploaded:
        with suppress(Exception):  # what failed before is what is to be told
            client.files.delete(file["file_id"])


def _is_document(path: Path) -> bool:
    from localassist.retrieval.parsers import supported

    return supported(path.name)
