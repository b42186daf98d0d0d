"""What is searched for."""

from __future__ import annotations

import pytest

from localassist.core import ChatMessage
from localassist.tools.file_search import nothing_found, queries_of


def queries(*user: str) -> list[str]:
    """Of a conversation in which the user says these and is answered each time."""
    messages = [ChatMessage("system", "Be kind.")]
    for said in user:
        messages += [ChatMessage("user", said), ChatMessage("assistant", "Yes.")]
    return queries_of(messages[:-1])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("When was Tesla born?", ["When was Tesla born?"]),
        ("Hi, how long is the warranty?", ["how long is the warranty?"]),
        (
            "Could you please tell me when the office opens? Answer in one sentence.",
            ["when the office opens?"],
        ),
        ("warranty X200", ["warranty X200"]),
        (
            "I bought the X200 last year. How long is the warranty?",
            ["I bought the X200 last year. How long is the warranty?"],
        ),
        ("Summarize the handbook", ["Summarize the handbook"]),
        ("Where is Lyon? What are its docks?", ["Where is Lyon?", "What are its docks? Lyon"]),
        ("ワルシャワの人口は?", ["ワルシャワの人口は?"]),
    ],
)
def test_a_message_alone(message: str, expected: list[str]) -> None:
    assert queries(message) == expected


@pytest.mark.parametrize(
    ("before", "message", "taken"),
    [
        ("When was Nikola Tesla born?", "And where did he die?", "Nikola Tesla born"),
        ("What is the capital of France?", "How many people live there?", "capital France"),
        ("Which team won Super Bowl 50?", "Why?", "team won Super Bowl 50"),
        ("How many docks has Lyon?", "What about Bremen?", "docks Lyon"),
        ("How many docks has Lyon?", "Does Bremen have its own canteen?", ""),
        ("How many docks has Lyon?", "Who are the employees that work at night?", ""),
        ("How many docks has Lyon?", "When did the office in Bremen open?", ""),
    ],
)
def test_a_follow_up_takes_the_telling_words_of_the_question_before(
    before: str, message: str, taken: str
) -> None:
    assert queries(before, message) == [f"{message} {taken}".strip()]


def test_a_follow_up_of_a_follow_up_leads_to_the_first() -> None:
    [query] = queries("How large is the warehouse in Lyon?", "And its canteen?", "Why?")
    assert query == "Why? canteen large warehouse Lyon"


def test_many_questions_and_long_ones_are_bounded() -> None:
    assert len(queries(" ".join(f"What is part {at}?" for at in range(20)))) == 4
    [query] = queries("word " * 50_000)
    assert len(query) <= 600
    [query] = queries("Some context is given here. " * 40 + "What is the price?")
    assert query == "What is the price?"


@pytest.mark.parametrize(
    "message",
    ["Hello!", "Hi there, thanks a lot for your help!", "How are you today?", "Who are you?", "  ",
     "What is 2 + 2?", "Write a poem about spring.", "Please translate 'dog' into French",
     "Danke!", "Guten Morgen, vielen Dank", "Merci beaucoup", "Schreibe ein Gedicht",
     "Écris-moi un poème"],
)  # fmt: skip
def test_small_talk_and_other_tasks_ask_nothing_of_documents(message: str) -> None:
    assert queries(message) == [] and nothing_found(message) is None


@pytest.mark.parametrize(
    "message",
    ["When does the office open?", "Write down what the handbook says about holidays",
     "Hello, who was Ada Breuer?", "Translate the first page of the attached file",
     "Danke, wie hoch ist die Miete?", "Schreibe eine Zusammenfassung der Datei"],
)  # fmt: skip
def test_what_may_stand_in_documents_is_looked_for(message: str) -> None:
    assert queries(message) and nothing_found(message)


def test_nobody_has_asked() -> None:
    assert queries_of([]) == queries_of([ChatMessage("assistant", "Hello?")]) == []
