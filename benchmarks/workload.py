"""The texts that benchmarks send. Deterministic: equal numbers give equal texts.

``story``, ``shop`` with 60 rules and ``question`` are the workloads with which the peers' published
figures were taken: streams of short chats, and threads that share one long system prompt.
"""

from __future__ import annotations

from typing import Any

_PERSONA = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def shop(rules: int) -> str:
    """Instructions of about 25 tokens a rule."""
    prices = (
        f"Rule {i}: article {i} costs {i * 7 % 97} euros and ships in {i % 9 + 1} days."
        for i in range(rules)
    )
    return f"You are the support assistant of a hardware shop. {' '.join(prices)}"


def question(customer: int, turn: int) -> str:
    """What a customer of the shop asks in a turn."""
    article = customer * 5 + turn
    asked = f"how much is article {article} and when does it ship?"
    return f"Customer {customer}, question {turn}: {asked}"


def story(number: int) -> str:
    """A request for a long answer."""
    return f"Write a long story about number {number} and a lighthouse."


def reading(number: int, rules: int) -> str:
    """A long question that begins like no other, so that no part of it is cached."""
    return f"{number} is the number of this letter. {shop(rules)} What does article 7 cost?"


def messages(user: str, system: str | None = None) -> list[dict[str, Any]]:
    """A conversation of one turn for an API."""
    return [{"role": "system", "content": system or _PERSONA}, {"role": "user", "content": user}]


def prompt(user: str, system: str | None = None) -> str:
    """The same in the embedded model's markup, for an engine."""
    return f"<|im_start|>system\n{system or _PERSONA}{spoken(user)}"


def spoken(user: str) -> str:
    """A user's turn behind what was said before, up to where the model answers."""
    return f"<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
