"""Messages as mail programs save them: headers, text, names of attachments."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from localassist.retrieval.parsers.base import TextWriter, one_line
from localassist.retrieval.parsers.encoding import decode
from localassist.retrieval.parsers.html_page import write_html

_HEADERS = ("Subject", "From", "To", "Cc", "Date")


def parse(path: Path, out: TextWriter) -> None:
    with path.open("rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for name in _HEADERS:
        if value := message.get(name):
            out.line(f"{name}: {one_line(str(value))}")
    names = [part.get_filename() for part in message.walk() if part.get_filename()]
    if names:
        out.line(f"Attachments: {', '.join(one_line(str(name)) for name in names)}")
    out.add("\n")
    body = message.get_body(("plain", "html"))
    if body is None:
        return
    content = body.get_payload(decode=True)
    text = decode(content, body.get_content_charset()) if isinstance(content, bytes) else ""
    if body.get_content_subtype() == "html":
        write_html(text, out)
    else:
        out.add(text)
