from __future__ import annotations

import pytest

from localassist.errors import InvalidRequest
from localassist.schemas.files import check_purpose, parse_expires_after


def test_purpose() -> None:
    assert check_purpose("fine-tune") == "fine-tune"
    with pytest.raises(InvalidRequest) as caught:
        check_purpose("vector_store")
    assert caught.value.message == (
        "'vector_store' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', "
        "'vision', 'evals'] - 'purpose'"
    )
    assert (caught.value.param, caught.value.code) == ("purpose", None)
    with pytest.raises(InvalidRequest, match="^'purpose' is a required property$"):
        check_purpose(None)


def form(anchor: str | None, seconds: str | None) -> dict[str, str]:
    pairs = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    return {name: value for name, value in pairs.items() if value is not None}


def test_expiry() -> None:
    assert parse_expires_after({"purpose": "batch"}) is None
    assert parse_expires_after(form("created_at", "3600")) == 3600


@pytest.mark.parametrize(
    ("anchor", "seconds", "code"),
    [
        ("created_at", None, "missing_required_parameter"),
        (None, "3600", "missing_required_parameter"),
        ("uploaded_at", "3600", "invalid_value"),
        ("created_at", "1h", "invalid_type"),
        ("created_at", "3599", "integer_below_min_value"),
        ("created_at", "2592001", "integer_above_max_value"),
    ],
)
def test_expiry_refusals(anchor: str | None, seconds: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_expires_after(form(anchor, seconds))
    assert caught.value.code == code
    assert (caught.value.param or "").startswith("expires_after.")
