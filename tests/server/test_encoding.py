import json

from localassist.server.encoding import to_json


def test_json_is_compact_ascii_that_means_the_same() -> None:
    value = {"a": [1, None, "é\u2028\ud800"], "b": {"c": 0.5}}
    text = to_json(value)
    assert text.isascii()
    assert " " not in text
    assert json.loads(text) == value
