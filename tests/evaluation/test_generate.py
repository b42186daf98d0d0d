"""Questions made up by a model: about their passage, the same again with the same seed."""

import asyncio

import numpy as np
import pytest

from localassist import load_settings
from localassist.evaluation.corpus import Document
from localassist.evaluation.generate import Passage, generate_for, is_about, passages
from localassist.evaluation.sets import own_set
from localassist.retrieval.documents import ParsedDocument

PASSAGE = Passage("d", 0, 43, "The harbour master decides by half past five.", "en")


@pytest.mark.parametrize(
    ("question", "is_kept"),
    [
        ("When does the harbour master decide?", True),
        ("When does the harbour master", False),
        ("What is the name of the king of the harbour of Spain?", False),
        ("What is it?", False),
    ],
)
def test_a_question_is_kept_when_it_is_about_its_passage(question: str, is_kept: bool) -> None:
    assert is_about(question, PASSAGE) == is_kept


def test_a_language_without_spaces_is_asked_about_too() -> None:
    passage = Passage("d", 0, 9, "港は六時に開きます。", "ja")
    assert is_about("港は何時に開きますか?", passage)


def words(text: str) -> np.ndarray:
    starts = [place for place in range(len(text)) if not place or text[place - 1] == " "]
    return np.array(starts, np.int32)


def test_short_texts_and_tables_of_numbers_are_not_asked_about() -> None:
    prose = "The mill stands on the hill and turns in every wind that blows. " * 4
    documents = [
        Document("prose", ParsedDocument(prose)),
        Document("short", ParsedDocument("The mill.")),
        Document("numbers", ParsedDocument("12 345 | 678 90 | " * 30)),
    ]
    found = passages(documents, words)
    assert found and {passage.document for passage in found} == {"prose"}
    assert all(prose[passage.start : passage.end] == passage.text for passage in found)


@pytest.mark.model
def test_the_default_model_asks_the_same_again_with_the_same_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCALASSIST_RETRIEVAL__EMBEDDER_BACKEND", "torch")
    documents = list(own_set().documents[:4])

    def made_up(seed: int) -> list[tuple[str, str]]:
        questions = asyncio.run(
            generate_for(load_settings(), documents, 2, seed, lambda *progress: None)
        )
        assert all(question.generated_by for question in questions)
        return [(question.text, question.references[0].content) for question in questions]

    first = made_up(5)
    assert first == made_up(5) and len(first) == 2
    texts = " ".join(document.text for document in documents)
    assert all(text.endswith("?") and content in texts for text, content in first)
