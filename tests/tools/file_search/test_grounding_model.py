"""What the embedded model writes inside a quotation that was opened for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from localassist.core import SamplingParams
from localassist.engine import LlamaEngine
from localassist.engine.request import Generate, Piece
from localassist.tools.file_search import grounded_answer
from localassist.tools.file_search.results import spoken
from tests.small_model import small_model
from tests.tools.file_search.found import BIOGRAPHY, HANDBOOK, results

pytestmark = pytest.mark.model

FOUND = results(HANDBOOK, BIOGRAPHY)
QUOTED = re.compile(r"“([^“”]+)”(【[^】]*】)")
OPENINGS = [
    "The documents say: “",
    "As the handbook puts it, “The warehouse",
    "Of the inventor it is written: “She",
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with small_model(tmp_path_factory.mktemp("cache")) as loaded:
        yield loaded


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("opening", OPENINGS)
async def test_a_quotation_that_was_begun_is_verbatim(
    engine: LlamaEngine, opening: str, seed: int
) -> None:
    prompt = engine.tokenize(
        "A visitor asks about the warehouse and the inventor.\n\n", parse_special=False
    )
    # Hot enough for the model to wish for words that are not there.
    sampling = SamplingParams(temperature=1.5, seed=seed, max_tokens=300)
    request = Generate(
        prompt,
        sampling,
        grounded_answer(FOUND),
        continued=engine.tokenize(opening, parse_special=False),
    )
    pieces = [piece async for piece in engine.generate(request)]
    text = opening + "".join(piece.text for piece in pieces if isinstance(piece, Piece))
    first = QUOTED.search(text)
    assert first is not None, text
    documents = {result.marker: spoken(result.passage.text) for result in FOUND}
    for words, marker in QUOTED.findall(text):
        assert words in documents[marker], text
