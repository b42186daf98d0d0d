"""What the engine needs from a kind of model server: the interface, and the words in between.

A dialect speaks one server's paths and fields. It promises nothing that it has not seen the server
do: what a server can do is tried out when it is opened, because several of them ignore a field
that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from localassist.core import Constraint, FinishReason, SamplingParams
from localassist.engine.remote.wire import Wire
from localassist.errors import GenerationFailed, GrammarRejected, ModelLoadFailed

PROBE_TEXT = "qz7"
"""An answer that no model gives unless it is made to."""
PROBE_SCHEMA: dict[str, Any] = {"const": PROBE_TEXT}
PROBE_GRAMMAR = f'%llguidance {{}}\nstart: "{PROBE_TEXT}"\n'
PROBE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of its model.

    ``vocab_size`` None: it does not tell. ``json_schema``, ``grammar`` (llguidance's Lark) and
    ``score`` are what it was seen to do.
    """

    model: str
    context_length: int
    chat_template: str | None = None
    special_tokens: dict[str, str] = field(default_factory=dict)
    vocab_size: int | None = None
    json_schema: bool = False
    grammar: bool = False
    score: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the answer: the tokens that spell ``text``. The last one has an ``end``.

    ``cached_tokens`` None: not told so far.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    end: FinishReason | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The fields of a request that hold its answer to a constraint: to the grammar itself, or to
    the JSON Schema that says the same."""

    fields: dict[str, Any]
    is_grammar: bool


class Dialect(Protocol):
    """One kind of server. ``facts``, ``tokenize`` and ``detokenize`` block on the network.

    It is made of the connection and of what the server's list of models says about the one meant.
    """

    name: ClassVar[str]

    def __init__(self, wire: Wire, card: Mapping[str, Any]) -> None: ...

    def facts(self) -> ServerFacts:
        """Ask and try out what this server is. Called once, before anything else. Raises
        ModelLoadFailed for a server that cannot be used without risk."""
        ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """As ``Engine.tokenize``: without ``parse_special`` never a control token."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str: ...

    def enforce(self, constraint: Constraint) -> Enforcement:
        """How to hold an answer to ``constraint``; called only for what ``facts`` promised."""
        ...

    def stream(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        max_tokens: int,
        fields: dict[str, Any],
    ) -> AsyncGenerator[Chunk, None]:
        """At most ``max_tokens`` tokens after ``prompt``. Ignores ``sampling.stop`` and
        ``sampling.max_tokens``, which the engine sees to. Ends with an ``end`` or raises."""
        ...

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """As ``Engine.score``."""
        ...


def plain_schema(constraint: Constraint) -> dict[str, Any] | None:
    """The constraint's JSON Schema without notes meant for llguidance."""
    if constraint.json_schema is None:
        return None
    return {key: value for key, value in constraint.json_schema.items() if key != "x-guidance"}


def check_constraint(facts: ServerFacts, constraint: Constraint) -> None:
    """Raise GrammarRejected for a constraint that this server was not seen to keep."""
    if facts.grammar or (facts.json_schema and constraint.json_schema is not None):
        return
    if constraint.json_schema is not None:
        raise GrammarRejected(
            "This model's server cannot guarantee the form of an answer: it did not keep to a JSON "
            "schema when that was tried. Ask without response_format, or use another server."
        )
    raise GrammarRejected(
        "This model's server cannot guarantee the form of this answer: it does not take the "
        "grammars that function calls need. Use llama-server built with LLAMA_LLGUIDANCE, vLLM "
        "with the guidance backend, or no functions."
    )


def said_json(text: object) -> bool:
    """Whether a tried-out server kept to ``PROBE_SCHEMA``."""
    try:
        return isinstance(text, str) and json.loads(text) == PROBE_TEXT
    except ValueError:
        return False


def text_of(answer: Any, key: str) -> str:
    """A text in a server's answer; GenerationFailed when it is not there."""
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str):
        raise GenerationFailed(f"The model server's answer has no `{key}`.")
    return value


def tokens_of(answer: Any, key: str = "tokens") -> list[int]:
    """Token ids in a server's answer; GenerationFailed when they are not there."""
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise GenerationFailed(f"The model server's answer has no `{key}`.")
    return value


def context_of(value: object) -> int:
    """A context length that a server states; ModelLoadFailed for anything else."""
    if type(value) is not int or value < 1:
        raise ModelLoadFailed("The model server does not say how long its context is.")
    return value
