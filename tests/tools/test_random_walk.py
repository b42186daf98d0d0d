"""Whatever allowed tokens a model draws, what comes out is JSON that fits the schema."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.chat.formats.json_values import grammar_of, json_rule
from localassist.engine.grammar import validate_grammar
from localassist.tools.grammar import check_schema, tier_of
from localassist.tools.schema import SchemaProblem
from tests.tools.walks import walk

_leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "ä\n"}]),
    st.builds(
        lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b},
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    st.builds(
        lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b},
        st.integers(-500, 500),
        st.integers(0, 1000),
    ),
    st.builds(
        lambda a: {"type": "number", "minimum": a, "exclusiveMaximum": a + 2}, st.integers(-3, 3)
    ),
    st.builds(lambda n: {"type": "integer", "multipleOf": n}, st.integers(1, 12)),
    st.builds(
        lambda values: {"enum": values},
        st.lists(
            st.one_of(st.integers(-9, 9), st.text(max_size=4), st.booleans()),
            min_size=1,
            max_size=3,
        ),
    ),
    st.sampled_from(
        [
            {"type": "string", "pattern": "^[a-c]{1,3}$"},
            {"type": "string", "format": "uuid"},
            {"type": ["string", "null"]},
            {"type": "number"},
            {"type": "string", "format": "ipv4"},
        ]
    ),
)


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["a", "b", "größe", 'q"'])
    return st.builds(
        lambda properties, count: {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:count],
        },
        st.dictionaries(names, children, min_size=1, max_size=3),
        st.integers(0, 3),
    )


def _composed(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        _objects(children),
        st.builds(
            lambda item, most: {"type": "array", "items": item, "maxItems": most},
            children,
            st.integers(0, 3),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(children, min_size=1, max_size=3)),
        st.builds(
            lambda items: {"type": "array", "prefixItems": items, "items": False},
            st.lists(children, min_size=1, max_size=2),
        ),
        st.builds(
            lambda value: {"type": "object", "additionalProperties": value, "maxProperties": 2},
            children,
        ),
    )


SCHEMAS = st.recursive(_leaves, _composed, max_leaves=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, st.integers(0, 2**32))
def test_a_walk_over_the_mask_fits_the_schema(schema: dict[str, Any], seed: int) -> None:
    try:
        ready = check_schema(schema, validate_grammar)
    except SchemaProblem:
        return
    assert tier_of(ready) == "strict"
    text = walk(grammar_of([f"start: {json_rule(ready)}"]).grammar, random.Random(seed))
    if text is not None:
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
