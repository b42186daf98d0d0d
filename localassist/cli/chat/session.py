"""A person at the conversation: what was typed becomes a question or a command, and whatever goes
wrong is a line, after which the conversation goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from localassist.cli.chat.answers import MayCall, show_answer
from localassist.cli.chat.attachments import Unusable
from localassist.cli.chat.conversation import (
    Conversation,
    NotAThread,
    NothingToRepeat,
    RunFailed,
)
from localassist.cli.chat.typed_ahead import TypedAhead
from localassist.cli.output import explain_os, report, say_aside
from localassist.errors import LocalAssistError

if TYPE_CHECKING:
    from localassist.settings import Settings


class Leave(Exception):
    """The user wants to leave."""


class CommandError(Exception):
    """A command cannot be done; the text says why."""


class Session:
    """``draft`` is what the next prompt begins with, so that nothing typed is lost. ``listed`` are
    the threads that the user has seen numbered. ``forks_before`` is the question that is edited."""

    def __init__(
        self,
        settings: Settings,
        conversation: Conversation,
        may_call: MayCall,
        out: Path,
        keys: TypedAhead | None = None,
    ) -> None:
        self.settings = settings
        self.conversation = conversation
        self.may_call = may_call
        self.out = out
        self._keys = keys or TypedAhead()
        self.draft = ""
        self.listed: list[str] = []
        self.forks_before: str | None = None

    def take(self, line: str) -> None:
        """Do what was typed. Raises Leave; all else that goes wrong is said."""
        from localassist.cli.chat.commands import run_command

        if line.startswith("/") and not line.startswith("//"):
            self.forget_edit()
            self._guarded(line, lambda: run_command(self, line))
        else:
            question = line[1:] if line.startswith("//") else line
            self._guarded(question, lambda: self._ask(question))

    def answer(self, items: Generator[Any]) -> None:
        """Show an answer; Ctrl-C stops it, and what was said stays."""
        # A function of the user's may ask something itself.
        waits = self._keys.paused() if self.conversation.tools else nullcontext()
        try:
            with waits:
                show_answer(self.conversation, items, self.may_call, self.out)
        except KeyboardInterrupt:
            items.close()
            self._stop()

    def forget_edit(self) -> None:
        """The last question is not edited any more."""
        self.forks_before = None
        self.conversation.carried = []

    def _ask(self, question: str) -> None:
        self.conversation.unsent = question
        if self.forks_before is not None:
            left = self.conversation.fork(self.forks_before)
            self.forks_before = None
            say(f"Going on in a copy. As it was: /resume {left}")
        self.answer(self.conversation.ask(question))

    def _stop(self) -> None:
        try:
            self.conversation.cancel()
        except KeyboardInterrupt:
            say("It stops as soon as it can.")
            return
        if self.conversation.unsent is None:
            say("Stopped. What was said so far stays in the conversation.")
        else:
            say("Stopped before the question was sent.")

    def _guarded(self, line: str, work: Callable[[], None]) -> None:
        from localassist.client.client import APIError, explain

        try:
            work()
        except (CommandError, NotAThread, NothingToRepeat, RunFailed, Unusable) as error:
            report(str(error))
        except LocalAssistError as error:
            report(error.message)
        except APIError as error:
            report(explain(error))
            if getattr(error, "status_code", None) == 404:
                self._leave_if_gone()
        except OSError as error:
            report(explain_os(error))
        except KeyboardInterrupt:
            say("Stopped.")
        except typer.Exit:  # it has been said
            pass
        if self.conversation.unsent is not None:
            self.draft, self.conversation.unsent = self.conversation.unsent, None

    def _leave_if_gone(self) -> None:
        from localassist.client.client import NotFoundError

        try:
            if self.conversation.thread_id is not None:
                self.conversation.client.beta.threads.retrieve(self.conversation.thread_id)
        except NotFoundError:
            self.conversation.leave()
            say("This conversation has been deleted. What you ask next begins another one.")


def say(text: str) -> None:
    """A remark of the chat's own."""
    say_aside(Text(text, style="dim"))
