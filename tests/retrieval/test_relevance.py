from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from localassist.registry import Catalog
from localassist.retrieval import relevance
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.embedders import Embedder, SentenceEmbedder
from localassist.retrieval.lexical import Statistics
from localassist.retrieval.search import Query, Source, search
from localassist.retrieval.segment_builder import build_segment
from localassist.retrieval.store_index import StoreIndex
from tests.retrieval.made import segment

STATISTICS = Statistics(4, {"unit": {"frog": 1, "pond": 4}})


def of(text: str, unit: str, cosine: float) -> float:
    return relevance.of_best(
        text, [(segment([unit]), 0, np.array([cosine, 0, 0, 0, 0, 0.0]))], STATISTICS
    )


def test_it_rises_with_the_cosine_and_with_the_words_that_are_there() -> None:
    assert of("frog pond", "moss", 0.2) < of("frog pond", "moss", 0.6)
    assert of("frog pond", "moss", 0.4) < of("frog pond", "a pond", 0.4)
    assert of("frog pond", "a pond", 0.4) < of("frog pond", "ponds of frogs", 0.4)


def test_a_rare_word_says_more_than_a_frequent_one() -> None:
    assert of("frog pond", "the pond", 0.4) < of("frog pond", "the frog", 0.4)


def test_words_that_ask_are_not_missed() -> None:
    assert of("when did the frog see the pond", "the frog sees a pond", 0.3) == of(
        "frog see pond", "the frog sees a pond", 0.3
    )


def test_a_question_of_stop_words_has_only_its_cosine() -> None:
    assert of("is it the", "moss", 0.1) < 0.5 < of("is it the", "moss", 0.9)


@pytest.mark.parametrize(
    ("question", "bare"),
    [
        ("How many frogs do I get in a pond?", "frogs pond"),
        ("What's the frog's pond like?", "frog pond like"),
        ("Wie lange darf man Frösche halten?", "Frösche halten"),
        ("Combien coûte l'étang ?", "coûte étang"),
    ],
)
def test_words_of_asking_need_not_be_there(question: str, bare: str) -> None:
    assert of(question, bare, 0.3) == of(bare, bare, 0.3) > 0.5


def test_the_best_hit_has_all_of_it_and_others_less() -> None:
    shares = [relevance.share(fused, 20.0) for fused in (20, 12, 0, -50)]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and shares[-1] > 0


@pytest.fixture
async def embedder(tmp_path: Path) -> AsyncIterator[Embedder]:
    catalog = Catalog(tmp_path / "home")
    loaded = await SentenceEmbedder.load(catalog.locate(catalog.default("embedding")))
    yield loaded
    loaded.close()


DOCUMENTS = {
    "leave": "Employees have 28 days of paid leave a year. Leave that is not taken by the end of "
    "March is lost. Ask your team lead at least two weeks ahead.",
    "tea": "Green tea wants water of eighty degrees. Keep tea in a dark tin. The Hamburg warehouse "
    "of the company opened in March 2011 and has 40 docks.",
    "printer": "The printer on the second floor takes A3 paper. When it jams, open the rear door "
    "and pull the sheet out slowly.",
}
QUESTIONS = {
    "How many days of paid leave do I get?": "leave",
    "What do I do when the printer jams?": "printer",
    "When did the Hamburg warehouse open?": "tea",
    "How do I get the sheet out?": "printer",
    "Is leave paid?": "leave",
    "Who composed the opera about a barber?": None,
    "What is the boiling point of mercury?": None,
}


async def test_whether_a_small_store_holds_an_answer(tmp_path: Path, embedder: Embedder) -> None:
    members = {
        name: await build_segment(name, ParsedDocument(text, (), "en"), embedder, embedder_id="e")
        for name, text in DOCUMENTS.items()
    }
    source = Source(StoreIndex.rebuild(tmp_path / "s", embedder.dimensions, members), members)
    vectors = await embedder.embed(list(QUESTIONS))
    found = {}
    for question, vector in zip(QUESTIONS, vectors, strict=True):
        best = search([source], [Query(question, vector)], limit=1)[0]
        found[question] = best.file_id if best.score > 0.5 else None
    assert found == QUESTIONS
