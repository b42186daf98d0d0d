"""Commands about the last answer: again, otherwise asked, what it rests on, how it came about."""

from __future__ import annotations

from localassist.cli.chat.session import CommandError, Session, say
from localassist.cli.chat.sources import show_passage
from localassist.cli.output import err_console

_HOTTEST = 2.0


def retry(session: Session, argument: str) -> None:
    temperature = _temperature(argument) if argument else None
    session.answer(session.conversation.again(temperature))


def edit(session: Session, argument: str) -> None:
    from localassist.client.threads import text_of

    question, _ = session.conversation.last_exchange()
    if question is None:
        raise CommandError("There is no question yet.")
    session.draft, session.forks_before = text_of(question), question.id
    session.conversation.carried = [one.to_dict() for one in question.attachments or []]
    say("Enter asks it in a copy of the conversation, Ctrl-C leaves all as it is.")


def sources(session: Session, argument: str) -> None:
    from localassist.client.passages import cited

    _, answer = session.conversation.last_exchange()
    if not answer:
        raise CommandError("There is no answer yet.")
    passages = cited(session.conversation.client, answer)
    if not passages:
        say("The last answer cites nothing.")
        return
    if argument:
        chosen = [one for one in passages if str(one.number) == argument.strip("[]")]
        if not chosen:
            raise CommandError(f"The last answer cites 1 to {len(passages)}, not {argument}.")
        passages = chosen
    for passage in passages:
        show_passage(passage, is_whole=bool(argument))


def steps(session: Session, argument: str) -> None:
    from localassist.cli.runs import print_run, with_records

    conversation = session.conversation
    run_id = conversation.run_id
    if run_id is None and conversation.thread_id is not None:
        runs = conversation.client.beta.threads.runs.list(conversation.thread_id, limit=1).data
        run_id = runs[0].id if runs else None
    if run_id is None:
        raise CommandError("There is no answer yet.")
    known = run_id
    print_run(with_records(session.settings, lambda records: records.show(known)), err_console)


def _temperature(argument: str) -> float:
    try:
        value = float(argument.replace(",", "."))
    except ValueError:
        value = -1
    if not 0 <= value <= _HOTTEST:
        raise CommandError(f"{argument} is no temperature; it is a number from 0 to 2.")
    return value
