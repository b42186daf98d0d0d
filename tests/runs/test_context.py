from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.core import ChatMessage, GeneratedText
from localassist.errors import PromptRejected
from localassist.runs.context import Context, Entry, conversation, fit
from localassist.storage.items import Item


def words(messages: Sequence[ChatMessage]) -> int:
    return sum(len(message.content.split()) + 1 for message in messages)


def entry(role: Any, text: str, message_id: str | None) -> Entry:
    return Entry(ChatMessage(role, text), message_id)


def talk(turns: int, length: int = 3) -> list[Entry]:
    entries = []
    for n in range(turns):
        entries.append(entry("user", f"u{n} " * length, f"mu{n}"))
        entries.append(entry("assistant", f"a{n} " * length, f"ma{n}"))
    return entries


def fitted(entries: list[Entry], budget: int, last: int | None = None) -> Context | None:
    return fit(entries, "be brief", budget_tokens=budget, last_messages=last, count=words)


def test_everything_stays_when_it_fits() -> None:
    context = fitted(talk(3), 1000)
    assert context is not None and context.dropped == ()
    assert [m.role for m in context.messages] == ["system"] + ["user", "assistant"] * 3


def test_the_middle_goes_first() -> None:
    entries = [*talk(10), entry("user", "now", "new")]
    context = fitted(entries, 40)
    assert context is not None and context.prompt_tokens <= 40
    texts = [message.content for message in context.messages]
    assert texts[0] == "be brief" and texts[1].startswith("u0") and texts[-1] == "now"
    assert context.dropped[0] == "ma0"


def test_a_call_never_loses_its_output() -> None:
    entries = talk(2)
    entries += [
        entry("user", "weather " * 5, "q"),
        Entry(ChatMessage("assistant", "call " * 5), None),
        Entry(ChatMessage("tool", "rain " * 5, tool_call_id="c"), None),
    ]
    for budget in range(1, 60):
        context = fitted(entries, budget)
        if context is not None:
            roles = [message.role for message in context.messages]
            assert roles[-3:] == ["user", "assistant", "tool"]


def test_none_when_the_newest_exchange_is_too_long() -> None:
    assert fitted([entry("user", "x " * 50, "m")], 20) is None


def test_the_first_message_goes_before_the_newest_does() -> None:
    entries = [entry("user", "old " * 10, "old"), entry("user", "new " * 10, "new")]
    context = fitted(entries, 15)
    assert context is not None and context.dropped == ("old",)


def test_last_messages_counts_thread_messages() -> None:
    entries = talk(4)
    entries.insert(4, Entry(ChatMessage("tool", "out"), None))
    context = fitted(entries, 1000, last=5)
    assert context is not None
    assert [e for e in context.dropped] == ["mu0", "ma0", "mu1"]
    assert len(context.messages) == 1 + 5 + 1  # the system message, five, and the tool's output


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.integers(1, 40)), max_size=30),
    st.integers(1, 200),
    st.one_of(st.none(), st.integers(1, 10)),
)
def test_the_budget_always_holds_and_the_order_stays(
    turns: list[tuple[str, int]], budget: int, last: int | None
) -> None:
    entries = [entry(role, f"w{n} " * size, f"m{n}") for n, (role, size) in enumerate(turns)]
    context = fitted(entries, budget, last)
    if context is None:
        return
    assert words(context.messages) == context.prompt_tokens <= budget
    kept = [e.message for e in entries if e.message_id not in context.dropped]
    assert list(context.messages[1:]) == kept
    if entries:
        assert entries[-1].message_id not in context.dropped


def item(kind: str, **fields: Any) -> Item:
    base: dict[str, Any] = {
        "seq": 1,
        "run_id": "run",
        "message_id": None,
        "role": None,
        "content": [],
        "generated": None,
        "payload": {},
    }
    return Item(kind=kind, **{**base, **fields})


def text(value: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": {"value": value, "annotations": []}}]


def test_a_turn_that_spoke_and_called_is_one_message() -> None:
    whole = GeneratedText("Wait. <tool_call>...", (1, 2, 3), "m")
    items = [
        item("message", message_id="m1", role="user", content=text("Hi")),
        item("message", message_id="m2", role="assistant", content=text("Wait.")),
        item(
            "calls",
            generated=whole,
            payload={"calls": [{"id": "c", "name": "f", "arguments": "{}"}], "said_in": "m2"},
        ),
        item("output", payload={"call_id": "c", "name": "f", "output": "42"}),
    ]
    user, turn, output = [entry.message for entry in conversation(items)]
    assert (turn.content, turn.generated, turn.tool_calls[0].name) == ("Wait.", whole, "f")
    assert (output.role, output.content, output.tool_call_id) == ("tool", "42", "c")
    assert user.content == "Hi"


def test_parts_are_joined_and_images_refused() -> None:
    [entry] = conversation([item("message", role="user", content=text("a") + text("b"))])
    assert entry.message.content == "a\nb"
    image = {"type": "image_file", "image_file": {"file_id": "file-x"}}
    with pytest.raises(PromptRejected, match="msg_1 contains an image"):
        conversation([item("message", message_id="msg_1", role="user", content=[image])])
    shown = item("message", role="assistant", content=[image, *text("Here it is.")])
    [entry] = conversation([shown])  # by code of a run
    assert entry.message.content == "Here it is."
    with pytest.raises(PromptRejected, match="contains an image"):
        conversation([replace(shown, run_id=None)])


def exchange(*outputs: str) -> list[Entry]:
    """A question whose calls were answered with these outputs."""
    entries = [entry("user", "the question", "q"), Entry(ChatMessage("assistant", "calls"), None)]
    for number, output in enumerate(outputs):
        message = ChatMessage("tool", output, tool_call_id=f"call_{number}", tool_name="f")
        entries.append(Entry(message, None, "run"))
    return entries


def characters(messages: Sequence[ChatMessage]) -> int:
    return sum(len(message.content) for message in messages)


def cut_to(entries: list[Entry], budget: int, **options: Any) -> Context | None:
    return fit(
        entries, "be brief", budget_tokens=budget, last_messages=None, count=characters, **options
    )


def test_outputs_that_do_not_fit_are_cut_and_say_so() -> None:
    context = cut_to(exchange("x" * 100_000, "short", "y" * 50_000), 10_000)
    assert context is not None and 9_900 < context.prompt_tokens <= 10_000
    *_, first, short, last = context.messages
    first_cut, last_cut = context.cut
    kept = first_cut.kept_characters
    assert short.content == "short" and last_cut.kept_characters == kept > 4_900
    assert first.content == "x" * kept + f"\n[… {100_000 - kept:,} characters left out]"
    assert last.content == "y" * kept + f"\n[… {50_000 - kept:,} characters left out]"
    assert (first_cut.tool_call_id, first_cut.characters) == ("call_0", 100_000)
    assert (last_cut.tool_call_id, last_cut.characters) == ("call_2", 50_000)


def test_what_people_wrote_is_never_cut() -> None:
    assert cut_to([entry("user", "x" * 500, "q")], 300) is None
    assert cut_to([entry("user", "x" * 500, "p"), *exchange("y" * 500)], 300) is not None
    question = [entry("user", "x" * 500, "q"), *exchange("y" * 500)[1:]]
    assert cut_to(question, 300) is None
    assert cut_to(exchange("y" * 500), 300, may_cut=False) is None


def test_the_first_message_stays_while_the_output_is_worth_reading() -> None:
    entries = [entry("user", "z" * 2_000, "first"), *exchange("x" * 50_000)]
    roomy, narrow = cut_to(entries, 4_000), cut_to(entries, 2_500)
    assert roomy is not None and roomy.dropped == () and roomy.cut
    assert narrow is not None and narrow.dropped == ("first",) and narrow.cut


@given(
    st.lists(st.integers(0, 5_000), min_size=1, max_size=5),
    st.integers(1, 6_000),
    st.integers(0, 3),
)
def test_cutting_keeps_the_budget_and_the_beginnings(
    lengths: list[int], budget: int, before: int
) -> None:
    entries = [*talk(before), *exchange(*(f"{n}" * length for n, length in enumerate(lengths)))]
    context = cut_to(entries, budget)
    if context is None:
        return
    assert characters(context.messages) == context.prompt_tokens <= budget
    shown = {m.tool_call_id: m.content for m in context.messages if m.tool_call_id}
    cut = {one.tool_call_id: one for one in context.cut}
    for number, length in enumerate(lengths):
        call_id = f"call_{number}"
        if call_id not in cut:
            assert shown[call_id] == f"{number}" * length
        else:
            kept = cut[call_id].kept_characters
            assert cut[call_id].characters == length > kept
            assert shown[call_id].startswith(f"{number}" * kept + "\n[… ")


def test_messages_of_the_run_itself_are_not_counted_as_the_last() -> None:
    entries = [
        *talk(2),
        entry("user", "now", "q"),
        Entry(ChatMessage("assistant", "I will look."), "said", "run"),
        Entry(ChatMessage("tool", "rain", tool_call_id="c"), None, "run"),
    ]
    context = fit(
        entries, "", budget_tokens=100, last_messages=1, count=words, run_id="run"
    )  # fmt: skip
    assert context is not None
    assert [m.content for m in context.messages] == ["now", "I will look.", "rain"]
