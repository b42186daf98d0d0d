"""What is typed behind a slash, and what it does to the conversation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localassist.cli.chat.attachments import Unusable, attachment_for
from localassist.cli.chat.commands import COMMANDS
from localassist.client import documents
from localassist.client.client import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed
from tests.cli.conftest import Run
from tests.cli.test_chat import last_thread, prompt_of, texts
from tests.documents import pdf

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def thread_ids(home: Path) -> list[str]:
    from localassist.client.threads import list_threads

    with LocalAssist(home) as client:
        return [thread.id for thread in list_threads(client)]


def test_every_command_is_in_the_help(
    terminal: Run, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal("/help\r/help save\r/hlep\r/nothing at all\r\x03/exit now\r/exit\r") == 0
    out, err = capsys.readouterr()
    assert out == "" and not engine.requests
    err = " ".join(err.split())
    for name, command in COMMANDS.items():
        assert f"/{name}" in err and " ".join(command.help.split()) in err
    assert err.count("Write the conversation to FILE.md or FILE.json.") == 2
    assert "There is no command /hlep. Did you mean /help?" in err
    assert "There is no command /nothing. /help lists" in err
    assert "/exit takes no arguments." in err


def test_a_line_may_begin_with_a_slash_and_several_lines_are_one_message(
    terminal: Run, engine: ScriptedEngine, localassist_home: Path
) -> None:
    pasted = "\x1b[200~one\ntwo\x1b[201~"
    assert terminal(f"//etc is what?\rfirst\\\rsecond\nthird\x1b\rfourth\r{pasted}\r/exit\r") == 0
    said = texts(localassist_home)[::2]
    assert said == ["/etc is what?", "first\nsecond\nthird\nfourth", "one\ntwo"]


def test_a_fork_goes_on_beside_the_first_conversation(
    terminal: Run,
    engine: ScriptedEngine,
    localassist_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine.enqueue("One.", "Two.", "Three.", "Four.")
    typed = "First?\r/title  A  talk \r/fork\rSecond?\r/system Be kind.\rThird?\r/threads\r"
    assert terminal(f"{typed}/resume 2\r/title\rFourth?\r/exit\r") == 0
    assert texts(localassist_home) == ["First?", "One.", "Fourth?", "Four."]
    _, err = capsys.readouterr()
    assert "A talk" in err and "6 messages" in err and "2 messages" in err
    # What was said of the copy's assistant is not said of the first one's.
    assert "Be kind." in prompt_of(engine, 2) and "Be kind." not in prompt_of(engine)
    newest, first = thread_ids(localassist_home)
    assert first == last_thread(localassist_home)
    with LocalAssist(localassist_home) as client:
        copied = client.beta.threads.messages.list(newest, order="asc")
        said = [message.content[0].text.value for message in copied]  # type: ignore[union-attr]
        assert said == ["First?", "One.", "Second?", "Two.", "Third?", "Three."]


def test_an_answer_is_given_again(
    terminal: Run, engine: ScriptedEngine, localassist_home: Path
) -> None:
    engine.enqueue("One.", "Two.", GenerationFailed("The engine broke."))
    assert terminal("/retry\rFirst?\r/retry 0.3\r/retry hot\r/retry\r/exit\r") == 0
    assert engine.requests[1].sampling.temperature == 0.3
    assert "One." not in prompt_of(engine, 1)
    # The third attempt came to nothing, and what was there before is there again.
    assert texts(localassist_home) == ["First?", "Two."]


def test_a_question_is_changed_in_a_copy(
    terminal: Run, engine: ScriptedEngine, localassist_home: Path
) -> None:
    engine.enqueue("One.", "Two.", "Three.")
    assert terminal("/edit\rFirst?\rSecond?\r/edit\r\x03/edit\r And why?\r/exit\r") == 0
    assert texts(localassist_home) == ["First?", "One.", "Second? And why?", "Three."]
    assert len(thread_ids(localassist_home)) == 2


def test_a_conversation_is_saved_whole_and_never_over_another_file(
    terminal: Run,
    engine: ScriptedEngine,
    tmp_path: Path,
    localassist_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    saves = "/save a.md\r/save a.json\r/save a.md\r/save a.doc\r/save no/a.md\r"
    assert terminal(f"/save a.md\rFirst?\r{saves}/exit\r") == 0
    text = (tmp_path / "a.md").read_text()
    assert text.startswith("# First?\n\n") and "\n## You\n\nFirst?\n\n## Answer\n\nIt is" in text
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["thread"]["id"] == last_thread(localassist_home)
    assert [one["role"] for one in told["messages"]] == ["user", "assistant"]
    assert len(told["runs"]) == len(told["steps"]) == len(told["assistants"]) == 1
    _, err = capsys.readouterr()
    said = ("Nothing has been said", "a.md is there already", "a.doc says no form", "no folder no")
    assert all(words in " ".join(err.split()) for words in said)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.json", "a.md"]


def test_models_instructions_and_functions_are_switched(
    terminal: Run, engine: ScriptedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "my tools.py"
    tools.write_text("def now() -> str:\n    '''The time.'''\n    return 'noon'\n")
    typed = [
        *("/model", "/model nope", "/model gpt-4o", "/system", "/system Be brief.", "/system"),
        *("/tools", f"/tools {tools}", "/tools off", "/tools nowhere.py", "/code maybe", "/code"),
        *("/docs", "/docs nowhere", "/sources", "/steps", "/fork", "/title", "/resume", "/exit"),
    ]
    assert terminal("".join(f"{line}\r" for line in typed)) == 0
    said = " ".join(capsys.readouterr().err.split())
    for words in (
        "* smollm2-135m-instruct the default",
        "There is no chat model 'nope'",
        "smollm2-135m-instruct answers from now on",
        "There are no instructions",
        "Be brief.",
        "The model may call now.",
        "nowhere.py: there is no such file",
        "It is /code on or /code off",
        "The model may not run code",
        "There are no documents",
        "There is no folder nowhere",
        "There is no answer yet",
        "Nothing has been said yet",
        "There is no conversation yet",
        "There is no other conversation yet",
    ):
        assert words in said, words


def test_files_go_with_the_next_message_only(
    terminal: Run,
    engine: ScriptedEngine,
    tmp_path: Path,
    localassist_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "my notes.md").write_text("Paris is the capital of France.")
    (tmp_path / "b.txt").write_text("Rome is the capital of Italy.")
    typed = f"/attach {tmp_path}/my notes.md\r/attach {tmp_path}/*.txt\r/attach\r/detach b.txt\r"
    assert terminal(f"{typed}What of France?\r/sources 1\r/sources 2\rAnd now?\r/exit\r") == 0
    with LocalAssist(localassist_home) as client:
        messages = client.beta.threads.messages.list(last_thread(localassist_home), order="asc")
        questions = [message for message in messages if message.role == "user"]
        ((attached,), none) = (one.attachments for one in questions)  # type: ignore[misc]
        assert not none
        assert [tool.to_dict() for tool in attached.tools] == [{"type": "file_search"}]
        assert client.files.retrieve(attached.file_id).filename == "my notes.md"
    out, err = capsys.readouterr()
    assert out.startswith("my notes.md: “Paris is the capital of France.” [1]\n")
    passage = r"\[1\] my notes.md  score [01]\.\d\d\n    Paris is the capital of France\. *\n"
    assert re.search(passage, err), err
    assert "The last answer cites 1 to 1, not 2." in err


def test_sources_show_where_the_cited_words_stand_and_what_is_around_them(
    terminal: Run, engine: ScriptedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The passage is found for its first page, and its second one is quoted."""
    rivers = "The Seine is long. The harbour is old. Where rivers meet, ships meet. " * 3
    other = "Much has been written about the weather of the north and its many winds. "
    pages = [f"The Seine and the harbour\n\n{rivers}", f"The Seine meets the\nharbour. {other * 8}"]
    (tmp_path / "book.pdf").write_bytes(pdf(pages))
    asked = f"/attach {tmp_path}/book.pdf\rWhere does the Seine meet the harbour?\r"
    assert terminal(f"{asked}/sources\r/sources 1\r/exit\r") == 0
    out, err = capsys.readouterr()
    assert out == "book.pdf, page 2: “The Seine meets the harbour.” [1]\n"
    short, whole = re.findall(
        r"^\[1\] book.pdf, page 2  score \d\.\d\d\n((?: {4}.*\n)+)", err, re.M
    )
    assert "The Seine meets the" in short and short.rstrip().endswith(" …")
    assert " ".join(whole.split()).count("many winds") == 8 and "…" not in whole


@pytest.mark.parametrize(
    ("name", "content", "runs_code", "comes_to"),
    [
        ("a.md", b"text", False, ("file_search",)),
        ("a.csv", b"a,b", True, ("file_search", "code_interpreter")),
        ("a.png", b"\x89PNG", True, ("code_interpreter",)),
        ("a.png", b"\x89PNG", False, "the model reads text only"),
        ("a.bin", b"\x00", False, "no document that can be searched"),
        ("a.md", b"", False, "is empty"),
        ("missing.md", None, False, "There is no file"),
        (".", None, False, "is a folder"),
    ],
)
def test_what_becomes_of_a_file_is_clear_before_it_is_sent(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    runs_code: bool,
    comes_to: tuple[str, ...] | str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if isinstance(comes_to, str):
        with pytest.raises(Unusable, match=comes_to):
            attachment_for(path, runs_code=runs_code)
    else:
        assert attachment_for(path, runs_code=runs_code).tools == comes_to


def test_a_question_waits_for_its_files_and_is_not_sent_without_them(
    terminal: Run,
    engine: ScriptedEngine,
    tmp_path: Path,
    localassist_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One file is damaged, and while the other is read somebody presses Ctrl-C first."""

    def stopped_once(*arguments: Any) -> Any:
        monkeypatch.setattr(documents, "read_files", read_files)
        raise KeyboardInterrupt

    read_files = documents.read_files
    monkeypatch.setattr(documents, "read_files", stopped_once)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    (tmp_path / "notes.md").write_text("Paris is the capital of France.")
    typed = f"/attach {tmp_path}/broken.pdf {tmp_path}/notes.md\rWhat of France?\r"
    # The question stands at the prompt again, twice.
    assert terminal(f"{typed}\r\r/exit\r") == 0
    out, err = capsys.readouterr()
    assert out.startswith("notes.md: “Paris is the capital of France.” [1]\n")
    said = " ".join(err.split())
    assert "Stopped before the question was sent." in said
    assert "broken.pdf: The PDF is damaged" in said
    assert len(texts(localassist_home)) == 2
    with LocalAssist(localassist_home) as client:
        assert [file.filename for file in client.files.list()] == ["notes.md"]


def test_what_could_not_be_sent_is_not_lost(
    terminal: Run,
    engine: ScriptedEngine,
    localassist_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The conversation is deleted meanwhile; the question stands at the prompt again."""

    def delete(session: object, argument: str) -> None:
        conversation = session.conversation  # type: ignore[attr-defined]
        conversation.client.beta.threads.delete(conversation.thread_id)

    monkeypatch.setitem(COMMANDS, "title", replace(COMMANDS["title"], run=delete))
    # Ctrl-U takes what stands there away, and Ctrl-Y brings it back.
    assert terminal("First?\r/title x\rSecond?\r\x15/threads\r\x19\r/exit\r") == 0
    assert texts(localassist_home)[0] == "Second?"
    said = " ".join(capsys.readouterr().err.split())
    assert "This conversation has been deleted. What you ask next begins another one." in said
    # Nothing offers to go on with one that is gone.
    assert terminal("/title x\r/save a.md\r/exit\r", "--resume") == 0
    assert "To go on" not in capsys.readouterr().err
    assert terminal("", "--resume") == 1
    assert "The last conversation has been deleted." in capsys.readouterr().err
