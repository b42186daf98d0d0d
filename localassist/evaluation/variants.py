"""What is compared: one row of the table is one variant; a grid is every combination. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from localassist.errors import ConfigError
from localassist.evaluation.chunking import Chunking

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = get_args(Mode)
AXES = ("chunking", "mode", "embedder", "lexical", "windows")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to retrieve. ``embedder`` is a model's id or folder, empty for the default one.

    ``lexical_weight`` is that of the lexical scores beside the dense ones in mode hybrid, and
    ``window_weight`` that of a unit's windows beside the unit itself; 1 is what localassist does.
    """

    chunking: Chunking
    mode: Mode = "hybrid"
    embedder: str = ""
    lexical_weight: float = 1.0
    window_weight: float = 1.0

    @property
    def weights(self) -> tuple[float, float, float, float, float, float]:
        """Of the six scores of a unit, in the order of ``ScoreParts``."""
        dense = 0.0 if self.mode == "lexical" else 1.0
        lexical = {"dense": 0.0, "lexical": 1.0, "hybrid": self.lexical_weight}[self.mode]
        wide = self.window_weight if self.chunking.kind == "units" else 0.0
        return (dense, dense * wide, dense * wide, lexical, lexical * wide, lexical * wide)

    def __str__(self) -> str:
        parts = [str(self.chunking), self.mode, self.embedder]
        if self.lexical_weight != 1:
            parts.append(f"lexical={self.lexical_weight:g}")
        if self.window_weight != 1:
            parts.append(f"windows={self.window_weight:g}")
        return " ".join(filter(None, parts))


DEFAULT = (
    Variant(Chunking("units", 100)),
    Variant(Chunking("units", 100), "dense"),
    Variant(Chunking("units", 100), "lexical"),
    Variant(Chunking("fixed", 800, 400), "dense"),
    Variant(Chunking("fixed", 800, 400), "lexical"),
)


def grid(settings: Sequence[str]) -> tuple[Variant, ...]:
    """Every combination of ``axis=value,value`` settings, in their order; axes that are not named
    keep their default, and without any there is a comparison with what is usual elsewhere. Raises
    ConfigError."""
    values: dict[str, list[str]] = {}
    for setting in settings:
        axis, separator, text = setting.partition("=")
        found = [value.strip() for value in text.split(",") if value.strip()]
        if axis not in AXES or not separator or not found:
            raise ConfigError(
                f"`{setting}` is not an axis of a grid; use AXIS=VALUE,VALUE with an axis of "
                f"{', '.join(AXES)}."
            )
        values.setdefault(axis, []).extend(found)
    if not values:
        return DEFAULT
    if set(values) == {"embedder"}:
        return tuple(_distinct(_with_embedder(DEFAULT, values["embedder"])))
    combined = itertools.product(
        [Chunking.parse(text) for text in values.get("chunking", ["units"])],
        [_mode(text) for text in values.get("mode", ["hybrid"])],
        values.get("embedder", [""]),
        [_weight("lexical", text) for text in values.get("lexical", ["1"])],
        [_weight("windows", text) for text in values.get("windows", ["1"])],
    )
    return tuple(_distinct(_normal(Variant(*fields)) for fields in combined))


def _with_embedder(variants: Iterable[Variant], embedders: Sequence[str]) -> Iterable[Variant]:
    for embedder in embedders:
        for variant in variants:
            yield Variant(variant.chunking, variant.mode, embedder)


def _normal(variant: Variant) -> Variant:
    """Without the weights that change nothing, so that a combination is not measured twice."""
    lexical = variant.lexical_weight if variant.mode == "hybrid" else 1.0
    windows = variant.window_weight if variant.chunking.kind == "units" else 1.0
    return Variant(variant.chunking, variant.mode, variant.embedder, lexical, windows)


def _distinct(variants: Iterable[Variant]) -> Iterable[Variant]:
    return dict.fromkeys(variants)


def _mode(text: str) -> Mode:
    if text not in MODES:
        raise ConfigError(f"`{text}` is not a mode; there are {', '.join(MODES)}.")
    return text


def _weight(axis: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < 1_000:
        raise ConfigError(f"{axis}={text}: a weight is a number from 0 on.")
    return weight
