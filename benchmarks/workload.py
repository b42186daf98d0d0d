"""The texts that benchmarks send. Deterministic: equal numbers give equal texts."""

from __future__ import annotations


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
    return f"Customer {customer}, question {turn}: what is article {article} and when does it ship?"


def story(number: int) -> str:
    """A request for a long answer that begins like no other, so that no part of it is cached."""
    return f"{number} is my lucky number. Write a long story about a lighthouse and its keeper."


def reading(number: int, rules: int) -> str:
    """A long question that begins like no other."""
    return f"{number} is the number of this letter. {shop(rules)} What does article 7 cost?"
