"""Evidence as metadata: whatever it is, a few whole JSON texts of bounded length."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from localassist.schemas.base import MAX_METADATA_VALUE
from localassist.tools.metadata import as_metadata, json_within

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=90), inner, max_size=30)
    ),
    max_leaves=60,
)


@given(st.dictionaries(st.text(max_size=99), VALUES, max_size=20))
def test_anything_becomes_valid_metadata(evidence: dict[str, object]) -> None:
    metadata = as_metadata(evidence)
    assert len(metadata) <= 16 and all(len(key) <= 64 for key in metadata)
    for text in metadata.values():
        assert len(text) <= MAX_METADATA_VALUE
        json.loads(text)


@given(VALUES)
def test_what_fits_is_kept_as_it_is(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(json_within(value, len(text) + 16)) == value


def test_the_best_scores_are_kept() -> None:
    scores = {f"function_number_{n}": n / 100 for n in range(128)}
    kept = json.loads(as_metadata({"tool_scores": scores})["tool_scores"])
    missing = kept.pop("…")
    assert list(kept.values()) == sorted(scores.values(), reverse=True)[: len(kept)]
    assert len(kept) > 10 and len(kept) + missing == 128


def test_long_texts_are_shortened_before_arguments_are_left_out() -> None:
    evidence = [{f"argument_{n}": "word " * 100 for n in range(5)}]
    (kept,) = json.loads(as_metadata({"argument_evidence": evidence})["argument_evidence"])
    assert list(kept) == list(evidence[0])
    assert all(text.endswith("…") for text in kept.values())


def test_of_too_many_arguments_and_calls_the_first_are_kept() -> None:
    calls = [{f"argument_{n}": "words of the question" for n in range(40)}, {"last": "number"}]
    kept, missing = json.loads(as_metadata({"argument_evidence": calls})["argument_evidence"])
    assert "argument_0" in kept and kept["…"] > 20
    assert missing == "… 1"
