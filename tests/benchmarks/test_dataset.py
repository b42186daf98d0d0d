import json
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from benchmarks.tools import dataset
from benchmarks.tools.scoring import RIGHT, Call, verdict

LINE: dict[str, Any] = {
    "id": "q1",
    "question": [[{"role": "user", "content": "How big is it?"}]],
    "function": [
        {
            "name": "size.of",
            "description": "Its size.",
            "parameters": {
                "type": "dict",
                "properties": {
                    "type": {"type": "any", "optional": True},
                    "parts": {"type": "tuple", "items": {"type": "float", "default": 1.5}},
                },
                "required": ["parts"],
            },
        }
    ],
}


def folder_with(folder: Path, questions: list[Any], answers: list[Any]) -> Path:
    for name, lines in (("multiple", questions), ("multiple.answers", answers)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"BFCL_v4_{name}.json").write_text(text, "utf-8")
    return folder


def example(choice: Any) -> Any:
    """A value out of an answer: dicts in it hold allowed values."""
    if isinstance(choice, dict):
        return {key: example(ones[0]) for key, ones in choice.items() if ones[0] != ""}
    if isinstance(choice, list):
        return [example(one) for one in choice]
    return choice


def test_types_become_json_schema_s_and_names_fit_for_the_api(tmp_path: Path) -> None:
    answers = [{"id": "q1", "ground_truth": [{"size.of": {"parts": [[2.5]]}}]}]
    (item,) = dataset.load(folder_with(tmp_path, [LINE], answers), "multiple")
    (tool,) = item.tools
    assert tool["function"]["name"] == item.functions[0]["name"] == "size_of"
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "type": {},
            "parts": {"type": "array", "items": {"type": "number", "default": 1.5}},
        },
        "required": ["parts"],
    }
    assert verdict([Call("size_of", '{"parts": [2.5]}')], item.functions, item.wanted) == RIGHT


def test_a_folder_without_the_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(dataset.DatasetProblem, match=r"has none of BFCL_v4_multiple\.json"):
        dataset.load(tmp_path, "multiple")


def test_a_question_without_an_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(dataset.DatasetProblem, match="no answer for q1"):
        dataset.load(folder_with(tmp_path, [LINE], []), "multiple")


def test_a_limit_takes_items_at_even_distances() -> None:
    items = dataset.load(dataset.OWN_SET, "simple_python")
    few = dataset.load(dataset.OWN_SET, "simple_python", 5)
    places = [items.index(item) for item in few]
    distances = {b - a for a, b in zip(places, places[1:], strict=False)}
    assert len(few) == 5 and places[0] == 0 and max(distances) - min(distances) <= 1
    assert dataset.load(dataset.OWN_SET, "simple_python", 10_000) == items


@pytest.mark.parametrize("category", dataset.CATEGORIES)
def test_the_own_set_is_sound(category: str) -> None:
    """Its schemas are schemas, and calls made of its answers are right and fit the schemas."""
    items = dataset.load(dataset.OWN_SET, category)
    assert len(items) >= 15 and len({item.id for item in items}) == len(items)
    draw = random.Random(1)
    for item in items:
        schemas = {t["function"]["name"]: t["function"]["parameters"] for t in item.tools}
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
        assert bool(item.wanted) == (category != dataset.IRRELEVANCE)
        calls = []
        for answer in item.wanted:
            ((name, allowed),) = answer.items()
            given = {key: [one for one in ones if one != ""] for key, ones in allowed.items()}
            values = {key: example(draw.choice(ones)) for key, ones in given.items() if ones}
            assert Draft202012Validator(schemas[name]).is_valid(values), item.id
            calls.append(Call(name, json.dumps(values)))
        assert verdict(calls, item.functions, item.wanted) == RIGHT, item.id
