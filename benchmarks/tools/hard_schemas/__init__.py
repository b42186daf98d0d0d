"""Our collection of JSON Schemas that are hard to enforce; see README.md beside this file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "schemas.jsonl"


@dataclass(frozen=True, slots=True)
class HardSchema:
    """``tier`` is what our compiler is expected to make of ``schema``."""

    category: str
    name: str
    tier: str
    schema: dict[str, Any]
    valid: list[Any]
    invalid: list[Any]

    @property
    def id(self) -> str:
        return f"{self.category}: {self.name}"


def hard_schemas() -> list[HardSchema]:
    return [HardSchema(**json.loads(line)) for line in _FILE.read_text("utf-8").splitlines()]
