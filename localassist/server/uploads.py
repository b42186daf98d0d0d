"""Multipart forms with a file, spooled to disk while it arrives.

The file part may come before the fields that describe it, so the bytes cannot be handed on before
the form has ended. Knows nothing of what files are kept for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from localassist.errors import InvalidRequest
from localassist.schemas import phrases
from localassist.schemas.base import check_text
from localassist.schemas.files import UploadPurpose, base_name, check_purpose, parse_expires_after

_CHUNK_BYTES = 2**18
_MAX_FIELDS = 16
FILE_FIELDS = ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]")
PART_FIELDS = ("data",)


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and what the form says about it."""

    filename: str
    purpose: UploadPurpose
    expires_after_seconds: int | None
    part: UploadFile

    def chunks(self) -> AsyncIterator[bytes]:
        return _chunks(self.part)


@asynccontextmanager
async def read_upload(request: Request) -> AsyncIterator[Upload]:
    """The form of ``POST /files``, checked. Its spool file is gone afterwards."""
    async with _read_form(request) as form:
        yield _checked(form)


@asynccontextmanager
async def read_part(request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of the form of ``POST /uploads/{id}/parts``. Its spool file is gone afterwards."""
    async with _read_form(request) as form:
        part = form.get("data")
        if not isinstance(part, UploadFile):
            raise InvalidRequest("'data' is a required property")
        _refuse_others(form, PART_FIELDS)
        yield _chunks(part)


@asynccontextmanager
async def _read_form(request: Request) -> AsyncIterator[FormData]:
    try:
        form = await request.form(max_files=1, max_fields=_MAX_FIELDS)
    except UnicodeError:
        # Callers name the codec of their texts, and Python has some that decode next to nothing.
        raise InvalidRequest("The form's texts are not in the charset it names.") from None
    try:
        yield form
    finally:
        await form.close()


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(_CHUNK_BYTES):
        yield chunk


def _refuse_others(form: FormData, known: Collection[str]) -> None:
    for name in form:
        if name not in known:
            raise phrases.unknown(phrases.shorten(check_text(name, "form")))


def _checked(form: FormData) -> Upload:
    part = form.get("file")
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not isinstance(part, UploadFile):
        raise InvalidRequest("'file' is a required property")
    _refuse_others(form, FILE_FIELDS)
    if part.size == 0:
        raise InvalidRequest("File is empty.", param="file")
    name = check_text(base_name(part.filename or ""), "file")
    purpose = check_purpose(fields.get("purpose"))
    return Upload(name, purpose, parse_expires_after(fields), part)
