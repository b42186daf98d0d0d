"""``localassist ask``: one question, one answer, for shells and scripts.

The answer goes to standard output, all else to standard error. What is piped in is the material the
question is about.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localassist import clock
from localassist.cli.chat import options
from localassist.cli.chat.answers import asked, save_answer_files
from localassist.cli.chat.attachments import Attachment, Unusable, attachment_for
from localassist.cli.chat.command import (
    answer_once,
    default_model,
    ensure_code,
    failures_said_once,
    piped_text,
    set_up,
)
from localassist.cli.chat.conversation import Conversation, RunFailed
from localassist.cli.output import EXIT_FAILURE, EXIT_INTERRUPTED, fail, report, say_json

if TYPE_CHECKING:
    from localassist.settings import Settings

_INLINE_CHARACTERS = 8000  # of piped text that a model with a small context can still read at once
_MATERIAL = "input.txt"


def ask(
    context: typer.Context,
    question: Annotated[
        str | None,
        typer.Argument(help="The question; without one, standard input is it.", show_default=False),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", help="A document to answer from, or with --code data to read; repeat."
        ),
    ] = None,
    assistant: options.Assistant = None,
    docs: options.Docs = None,
    code: options.Code = False,
    model: options.Model = None,
    system: options.System = None,
    temperature: options.Temperature = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="JSON schema that the answer is to fulfil.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: answer, citations, files, usage …")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where images and files are saved.")] = Path("outputs"),
) -> None:
    """Ask one question, also about piped text, and print the answer."""
    from localassist.client.assistants import NoSuchAssistant
    from localassist.client.client import APIError, LocalAssist, explain

    settings: Settings = context.obj
    context.with_resource(failures_said_once())
    form = None if schema is None else _response_format(schema)
    if code:
        ensure_code(settings, out)
    attachments = _attachments(file or [], runs_code=code)
    material = "" if sys.stdin.isatty() else piped_text()
    question = (question or "").strip()
    if not (question or material):
        fail('There is no question: localassist ask "…".')
    fields = {"model": model, "instructions": system, "temperature": temperature}
    try:
        with (
            _prompt(question, material, runs_code=code) as (text, more),
            LocalAssist(settings=settings) as client,
        ):
            conversation = Conversation(client, default_model(settings))
            set_up(conversation, assistant, docs, runs_code=code, fields=fields)
            conversation.change(response_format=form)
            conversation.attached += [*attachments, *more]
            if as_json:
                _answer_as_json(conversation, text, out, has_form=form is not None)
            else:
                answer_once(conversation, text, asked, out, is_plain=form is not None)
    except NoSuchAssistant as error:
        fail(str(error), EXIT_FAILURE)
    except APIError as error:
        fail(explain(error), EXIT_FAILURE)


@contextmanager
def _prompt(
    question: str, material: str, *, runs_code: bool
) -> Iterator[tuple[str, list[Attachment]]]:
    """What is asked, with the material before it, or as a file where it is long."""
    if not question or not material:
        yield question or material, []
    elif len(material) <= _INLINE_CHARACTERS:
        yield f"{material}\n\n{question}", []
    else:
        report(f"{len(material):,} characters of input: they are searched, not read as a whole.")
        with tempfile.TemporaryDirectory(prefix="localassist-") as folder:
            path = Path(folder) / _MATERIAL
            path.write_text(material, encoding="utf-8")
            yield question, [attachment_for(path, runs_code=runs_code)]


def _answer_as_json(
    conversation: Conversation, question: str, out: Path, *, has_form: bool
) -> None:
    """Print one object, also where the answer is not whole; the exit code tells that apart."""
    from localassist.client.client import APIError, explain

    begun = clock.monotonic()
    text, error = "", None
    try:
        with closing(conversation.ask(question)) as items:
            for item in items:
                text += item if isinstance(item, str) else ""
    except RunFailed as failure:
        error = str(failure)
    except Unusable as failure:
        error = str(failure)
    except APIError as failure:
        error = explain(failure)
    except KeyboardInterrupt:
        conversation.cancel()
        fail("Stopped.", EXIT_INTERRUPTED)
    told = _told(conversation, text, out) | {"seconds": round(clock.monotonic() - begun, 3)}
    if has_form:
        told["value"] = _parsed(text)
    if error is not None:
        told["error"] = error
    say_json(told)
    if error is not None:
        fail(error, EXIT_FAILURE)


def _told(conversation: Conversation, text: str, out: Path) -> dict[str, Any]:
    from localassist.client.passages import Numbers, cited

    run = None
    if conversation.run_id is not None and conversation.thread_id is not None:
        run = conversation.client.beta.threads.runs.retrieve(
            conversation.run_id, thread_id=conversation.thread_id
        )
    citations = [
        {
            "number": one.number,
            "file_id": one.file_id,
            "file": one.filename,
            "place": one.place,
            "score": one.score,
            "quote": one.quote,
        }
        for one in cited(conversation.client, conversation.answer_of_run())
    ]
    return {
        "answer": Numbers().replace(text),
        "citations": citations,
        "files": [str(path) for path in save_answer_files(conversation, out)],
        "model": conversation.model,
        "thread_id": conversation.thread_id,
        "run_id": conversation.run_id,
        "usage": run.usage.to_dict() if run is not None and run.usage is not None else None,
    }


def _attachments(paths: list[Path], *, runs_code: bool) -> list[Attachment]:
    """Ends the command when a file is of no use."""
    try:
        return [attachment_for(path, runs_code=runs_code) for path in paths]
    except Unusable as error:
        fail(str(error))


def _response_format(path: Path) -> dict[str, Any]:
    """Ends the command when there is no JSON schema in the file."""
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: {error.strerror}.")
    except UnicodeDecodeError:
        fail(f"{path} is no text.")
    except ValueError as error:
        fail(f"{path}: this is no JSON: {error}")
    if not isinstance(schema, dict):
        fail(f"{path}: a JSON schema is an object.")
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", path.stem)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _parsed(text: str) -> Any:
    """The value that the text is, None where it is cut short."""
    try:
        return json.loads(text)
    except ValueError:
        return None
