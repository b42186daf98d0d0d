"""JSON values in grammars: how a call's arguments and a formatted answer are held to a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from localassist.core import Constraint

# JSON exactly as json.dumps writes it: one form for the model, the parser and the KV cache.
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def json_rule(schema: Mapping[str, Any]) -> str:
    """A Lark expression for one JSON value. The schema's own ``x-guidance`` adds to ours."""
    options = {**COMPACT, **schema.get("x-guidance", {})}
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


def grammar_of(rules: Sequence[str]) -> Constraint:
    """The rules under llguidance's header."""
    return Constraint("%llguidance {}\n" + "\n".join(rules) + "\n")


def quote(text: str) -> str:
    """A Lark literal, or a JSON string."""
    return json.dumps(text, ensure_ascii=False)
