from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.registry import Catalog
from localassist.retrieval.documents import ParsedDocument, Place
from localassist.retrieval.embedders import HashingEmbedder
from localassist.retrieval.embedders.tokens import Tokens
from localassist.retrieval.splitting import split

TOKENS = HashingEmbedder()
# Text that looks like text: words, marks, line ends, other scripts, things without tokens.
PIECES = st.sampled_from(
    ["a", "word ", "Dr. No ", "end. ", "End! ", "\n", "\n\n", "\n# H\n", " ", "\t", ";", "，", "。"]
    + ["東京", "👍🏽", "é", "\u200b", "\x00", "x" * 70, "." * 40, " " * 90, "\\n", '"', "كيف "]
)
TEXTS = st.lists(PIECES, max_size=120).map("".join) | st.text(max_size=300)


def units_of(text: str, limit: int = 12, places: tuple[Place, ...] = ()) -> list[str]:
    found = split(ParsedDocument(text, places), TOKENS.token_starts(text), limit)
    return [text[start:end] for start, end, _ in found]


@given(TEXTS, st.integers(1, 30))
def test_every_character_is_in_one_unit_and_units_are_small(text: str, limit: int) -> None:
    starts = TOKENS.token_starts(text)
    units = split(ParsedDocument(text), starts, limit)
    assert units.dtype == np.int32 and units.shape == (len(units), 3)
    covered = np.zeros(len(text), dtype=int)
    for start, end, tokens in units:
        unit = text[start:end]
        assert unit == unit.strip() != ""
        assert tokens == ((start <= starts) & (starts < end)).sum() <= limit
        assert end - start <= 32 * (limit + 1)
        covered[start:end] += 1
    assert [n for n, c in enumerate(text) if covered[n] != 1 and not c.isspace()] == []
    assert (np.diff(units[:, :2].ravel()) >= 0).all()


@given(TEXTS, TEXTS, TEXTS)
def test_units_stay_within_their_page(one: str, two: str, three: str) -> None:
    text = one + two + three
    fences = (0, len(one), len(one) + len(two), len(text))
    places = tuple(Place(fences[n], fences[n + 1], page=n + 1) for n in range(3))
    for start, end, _ in split(ParsedDocument(text, places), TOKENS.token_starts(text)):
        assert sum(fence <= start for fence in fences) == sum(fence < end for fence in fences)


@pytest.mark.parametrize(
    "sentences",
    [
        ("We met Dr. A. Smith, e.g. in town.", "He left."),
        ("It is 3.5 m long, cf. Fig. 3 vs. Eq. 4.", "That is it."),
        ("He said “No, not so!”", "Then he left."),
        ("Was it (really?)", "It was!"),
        ("Es war Prof. Maier, d.h. niemand.", "Er ging."),
    ],
)
def test_sentences_end_where_they_do(sentences: tuple[str, str]) -> None:
    longest = max(len(TOKENS.token_starts(sentence)) for sentence in sentences)
    assert units_of(" ".join(sentences), longest) == list(sentences)


def test_coarse_borders_come_before_fine_ones() -> None:
    text = "One two.\nThree four.\n\nFive six seven eight.\n# Nine\nTen eleven; twelve, thirteen."
    assert units_of(text, limit=13) == [
        "One two.\nThree four.\n\nFive six seven eight.",
        "# Nine\nTen eleven; twelve, thirteen.",
    ]
    assert units_of(text, limit=7) == [
        "One two.\nThree four.",
        "Five six seven eight.",
        "# Nine",
        "Ten eleven; twelve, thirteen.",
    ]


def test_text_without_spaces_is_cut_at_its_own_marks() -> None:
    assert units_of("東京は晴れ。大阪は雨。京都は雪、名古屋は風。", limit=4) == [
        "東京は晴れ。大阪は雨。",
        "京都は雪、名古屋は風。",
    ]


def test_a_heading_the_parser_knows_begins_a_unit() -> None:
    text = "Intro text of some words here. More words follow it. Setup Install the thing first."
    at = text.index("Setup")
    places = (Place(0, at, heading="Intro"), Place(at, len(text), heading="Setup"))
    assert units_of(text, 12, places) == [text[:at].strip(), text[at:]]
    assert units_of(text, 40, places) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        "word " * 400_000,
        "\n" * 2_000_000,
        ")" * 1_000_000,
        ("\n" + " " * 99) * 20_000 + "end",
        "\\n" * 500_000,
        "No end. " * 200_000,
        "a" + " " * 5_000_000 + "b",
    ],
    ids=["letters", "words", "lines", "brackets", "indents", "escapes", "sentences", "gap"],
)
def test_a_huge_line_takes_no_more_than_its_length(text: str) -> None:
    def seconds(part: str) -> float:
        starts = TOKENS.token_starts(part)
        began = time.process_time()
        units = split(ParsedDocument(part), starts)
        assert len(units) >= (len(part.strip()) > 0)
        return time.process_time() - began

    # Linear would be 10; quadratic 100. Below a second nothing is wrong either way.
    assert seconds(text) < max(40 * seconds(text[: len(text) // 10]), 10.0)


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00"])
def test_next_to_nothing(text: str) -> None:
    assert len(units_of(text)) == (text == "\x00")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    catalog = Catalog(tmp_path_factory.mktemp("home"))
    folder = catalog.locate(catalog.default("embedding"))
    return Tokens((folder / "tokenizer.json").read_text("utf-8"), 256)


@pytest.mark.model
@settings(max_examples=60)
@given(text=TEXTS | st.lists(st.sampled_from("ab1 .東é\n👍"), max_size=2000).map("".join))
def test_no_unit_is_longer_than_the_models_window(tokens: Tokens, text: str) -> None:
    units = split(ParsedDocument(text), tokens.starts(text))
    texts = [text[start:end] for start, end, _ in units]
    for unit, counted in zip(texts, units[:, 2], strict=True):
        alone = len(tokens.starts(unit))
        assert alone <= tokens.max_tokens
        assert counted <= 100
