"""What the pictures of the documentation show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.cli.test_chat_tools import call

PROMPT = ">"


@dataclass(frozen=True, slots=True)
class Scene:
    """A session with ``localassist``: what the model says in turn, and what a person types, each
    time once the screen shows a text, or a new prompt; the last keys may be none."""

    title: str
    arguments: Sequence[str]
    replies: Sequence[str]
    keys: Sequence[tuple[str, str]]
    columns: int = 80
    rows: int = 30
    environment: Mapping[str, str] = field(default_factory=dict)


ANSWER = '''Rain falls when **air cools below its dew point**. Three ways, by how the air rises:

1. *Convection*: the ground warms it.
   - short, strong showers
   - mostly in the afternoon
2. *Fronts*: warm air slides over cold air.
3. *Mountains*: the wind pushes it up.

| Place | Rain (mm a year) | Wettest month |
|:------|----------------:|:--------------|
| Mawsynram | 11,872 | June |
| Bergen | 2,490 | October |
| Tōkyō | 1,598 | September |

```python
def dew_point(celsius: float, humidity: float) -> float:
    """Magnus formula; humidity from 0 to 1."""
    gamma = log(humidity) + 17.62 * celsius / (243.12 + celsius)
    return 243.12 * gamma / (17.62 - gamma)
```

> Warm air holds more water: about 7 % more for each degree.

See the [WMO atlas](https://worldweather.wmo.int/en/home.html) for your place.
'''

SOURCE = """# Opening hours

The workshop is open from Tuesday to Saturday, 9 to 17. On public holidays it is closed.

# Returns

Goods can be returned within 30 days, with the receipt. Opened software cannot be returned.
"""

CODE = """import matplotlib.pyplot as plt

months = ["Jan", "Apr", "Jul", "Oct"]
plt.figure(figsize=(6, 3.2))
plt.bar(months, [190, 114, 148, 271], color="#4878cf")
plt.title("Rain in Bergen", fontsize=24)
plt.xticks(fontsize=19)
plt.show()
"""

FILES = {"shop.md": SOURCE}

_RETURNS = "Goods go back within **30 days**, with the receipt【1:0†source】."
_QUESTION = [(PROMPT, "Why does it rain?\r"), ("for your place", "")]
_SEARCHED = [call("file_search", queries=["returning goods"]), _RETURNS]
_ASKED = [
    (PROMPT, "/attach shop.md\r"),
    (PROMPT, "Can I give it back?\r"),
    ("[1] shop", ""),
]


SCENES = {
    "chat": Scene("localassist chat", ["chat"], [ANSWER], _QUESTION, rows=35),
    "narrow": Scene("40 columns", ["chat"], [ANSWER], _QUESTION, columns=40, rows=48),
    "colourless": Scene(
        "NO_COLOR", ["chat"], [ANSWER], _QUESTION, rows=35, environment={"NO_COLOR": "1"}
    ),
    "attach": Scene("/attach", ["chat"], _SEARCHED, _ASKED, rows=14),
    "sources": Scene(
        "/sources", ["chat"], _SEARCHED, [*_ASKED, (PROMPT, "/sources\r"), ("score", "")], rows=24
    ),
    "steps": Scene(
        "/steps", ["chat"], _SEARCHED, [*_ASKED, (PROMPT, "/steps\r"), ("decode", "")], rows=30
    ),
    "image": Scene(
        "chat --code",
        ["chat", "--code"],
        [call("python", code=CODE), "October is the wettest month."],
        [(PROMPT, "Draw the rain in Bergen.\r"), ("Saved", "")],
        columns=60,
        rows=24,
    ),
}
