"""Commands about conversations: which there are, going on with one, copies, and keeping them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from localassist.cli.chat.session import CommandError, Session, say
from localassist.cli.output import err_console

if TYPE_CHECKING:
    from localassist.client.threads import Summary

_LISTED = 10
_SHOWN_CHARACTERS = 300  # of each side of the last exchange


def list_threads(session: Session, argument: str) -> None:
    from localassist.client.threads import summaries

    limit = _number(argument) if argument else _LISTED
    found = list(summaries(session.conversation.client, limit))
    session.listed = [one.id for one in found]
    if not found:
        say("There are no conversations yet.")
    for number, one in enumerate(found, 1):
        _print_summary(number, one, is_open=one.id == session.conversation.thread_id)


def resume(session: Session, argument: str) -> None:
    conversation = session.conversation
    thread_id = _meant(session, argument) if argument else _before(session)
    if thread_id == conversation.thread_id:
        raise CommandError("This is the conversation that is open.")
    conversation.resume(thread_id)
    show_last_exchange(session)


def new(session: Session, argument: str) -> None:
    session.conversation.leave()
    say("A new conversation.")


def fork(session: Session, argument: str) -> None:
    _check_begun(session)
    left = session.conversation.fork()
    say(f"Going on in a copy. As it was: /resume {left}")


def title(session: Session, argument: str) -> None:
    from localassist.client.threads import title_of

    conversation = session.conversation
    if conversation.thread_id is None:
        raise CommandError("There is no conversation yet; ask something first.")
    if argument:
        conversation.entitle(" ".join(argument.split()))
        return
    threads = conversation.client.beta.threads
    first = threads.messages.list(conversation.thread_id, order="asc", limit=1).data
    say(title_of(threads.retrieve(conversation.thread_id), first))


def save(session: Session, argument: str) -> None:
    from localassist.client.transcripts import as_markdown, as_objects

    _check_begun(session)
    thread_id = session.conversation.thread_id
    assert thread_id is not None
    path = Path(argument or f"conversation-{datetime.now():%Y-%m-%d-%H%M%S}.md").expanduser()
    if path.suffix == ".md":
        text = as_markdown(session.conversation.client, thread_id)
    elif path.suffix == ".json":
        objects = as_objects(session.conversation.client, thread_id)
        text = json.dumps(objects, ensure_ascii=False, indent=2) + "\n"
    else:
        raise CommandError(f"{path} says no form; name it .md or .json.")
    write_new(path, text)
    say(f"Saved {path}")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all. Raises CommandError and OSError."""
    if path.exists():
        raise CommandError(f"{path} is there already; nothing was written.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{path} is there already; nothing was written.") from None
    except FileNotFoundError:
        raise CommandError(f"There is no folder {path.parent}.") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def show_last_exchange(session: Session) -> None:
    """Remind of what was said last."""
    from localassist.client.threads import text_of

    question, answer = session.conversation.last_exchange()
    said = [("> ", "" if question is None else text_of(question))]
    said.append(("", "\n\n".join(map(text_of, answer))))
    for mark, text in said:
        if text:
            short = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} …"
            say(mark + short)


def _print_summary(number: int, one: Summary, *, is_open: bool) -> None:
    """Two lines: what it is about, and below it when, how long, and the id."""
    from localassist.cli.chat.code import printable

    room = max(10, err_console.width - 6)
    words = printable(one.title)
    head = Text.assemble((f"{number:>3}  ", "bold"), (words, "bold" if is_open else ""))
    head.truncate(room + 5, overflow="ellipsis")
    err_console.print(head)
    at = datetime.fromtimestamp(one.at).strftime("%Y-%m-%d %H:%M")
    count = f"{one.messages}{'+' if one.has_more else ''} message{'s' * (one.messages != 1)}"
    here = "  open" if is_open else ""
    err_console.print(Text(f"     {at}  {count}  {one.id}{here}", "dim"))


def _meant(session: Session, argument: str) -> str:
    if not argument.isdecimal():
        return argument
    if not session.listed:
        list_threads(session, "")
        if not session.listed:
            raise CommandError(f"/resume {argument} goes by the numbers of /threads.")
        raise CommandError(f"/resume {argument} goes by the numbers of /threads; here they are.")
    if not 1 <= int(argument) <= len(session.listed):
        raise CommandError(f"/threads has listed 1 to {len(session.listed)}, not {argument}.")
    return session.listed[int(argument) - 1]


def _before(session: Session) -> str:
    from localassist.client.threads import summaries

    for one in summaries(session.conversation.client, 2):
        if one.id != session.conversation.thread_id:
            return one.id
    raise CommandError("There is no other conversation yet.")


def _check_begun(session: Session) -> None:
    if session.conversation.thread_id is None:
        raise CommandError("Nothing has been said yet.")


def _number(argument: str) -> int:
    if not argument.isdecimal() or int(argument) < 1:
        raise CommandError(f"{argument} is no count.")
    return int(argument)
