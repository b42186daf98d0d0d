"""A server's list of models (``/v1/models``): the entry of one model, and whether it is still the
same. Pure; what an entry means beyond that is the dialects' business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localassist.errors import ModelLoadFailed

MODELS_PATH = "/v1/models"
_LASTING = ("id", "root", "meta", "max_model_len")


def find_card(listing: Any, wanted: str | None) -> dict[str, Any]:
    """The entry of the wanted model, by name or alias; of the only one when none is named.

    Raises ModelLoadFailed.
    """
    cards = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(cards, list):
        raise ModelLoadFailed("There is no model server at this address.")
    named: list[dict[str, Any]] = [
        card for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str)
    ]
    names = ", ".join(card["id"] for card in named)
    if wanted is None and len(named) == 1:
        return named[0]
    for card in named:
        if wanted in (card["id"], *(card.get("aliases") or ())):
            return card
    if wanted is None:
        raise ModelLoadFailed(f"The server has several models or none; name one of: {names}.")
    raise ModelLoadFailed(f"The server has no model `{wanted}`; it has: {names}.")


def is_same(card: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two entries speak of one model with one context. Times of creation differ."""
    return all(card.get(key) == other.get(key) for key in _LASTING)
