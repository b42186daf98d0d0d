"""Questions made up from the documents by a local chat model, for those who have none.

Each is asked about one passage, which becomes its reference. Such questions share words with their
passage and small models ask odd ones, so every output says that they were generated: rows can be
compared with them, but how well questions of people would be answered they do not tell.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from localassist.core import ChatMessage, Constraint, SamplingParams
from localassist.engine.request import Generate, Piece
from localassist.evaluation.compare import Progress
from localassist.evaluation.corpus import Document
from localassist.evaluation.questions import Question, Reference
from localassist.evaluation.tokens import TokenStarts
from localassist.registry.catalog import Catalog
from localassist.retrieval.analysis import analyse
from localassist.retrieval.splitting import split
from localassist.runtime import open_runtime
from localassist.services.models import ChatModel
from localassist.settings import Settings

PASSAGE_TOKENS = 100
_LEAST_TOKENS = 25
_LEAST_LETTERS = 0.6  # of the characters: tables of numbers ask for nothing
_LEAST_SHARED = 2  # terms of the question that its passage has,
_LEAST_SHARE = 0.5  # and this part of all of them: small models wander off
_ATTEMPTS = 4  # passages tried for each question that is wanted
_QUESTION_TOKENS = 48
_TEMPERATURE = 0.5

_SYSTEM = "You write exam questions. Each question is answered by the given text alone."
_TASK = "Text:\n{passage}\n\nWrite one short question that this text answers."
_EXAMPLES = (
    (
        "The lighthouse on Gull Rock was lit for the first time in 1868. Its keeper, Jonas Hale, "
        "rowed ashore only twice a year.",
        "When was the lighthouse on Gull Rock first lit?",
    ),
    (
        "Refunds are paid within fourteen days after the goods have come back to the warehouse, "
        "provided that the box is unopened.",
        "How soon is a refund paid after goods are returned?",
    ),
)
_FORMS = {
    "en": r"/(What|Which|Who|When|Where|Why|How) [a-zA-Z0-9 ,.'%€$-]{8,120}[a-zA-Z0-9%]\?/",
    "": r"/[^\n?]{12,140}\?/",
}
"""What a question looks like in a language, and in any other."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What a question is asked about."""

    document: str
    start: int
    end: int
    text: str
    language: str


def passages(documents: Sequence[Document], token_starts: TokenStarts) -> list[Passage]:
    """Stretches that a question can be asked about: long enough, and mostly words."""
    found = []
    for document in documents:
        units = split(document.parsed, token_starts(document.text), PASSAGE_TOKENS)
        for start, end, tokens in units.tolist():
            text = document.text[start:end]
            letters = sum(map(str.isalpha, text)) / max(1, len("".join(text.split())))
            if tokens >= _LEAST_TOKENS and letters >= _LEAST_LETTERS:
                found.append(Passage(document.name, start, end, text, document.parsed.language))
    return found


async def generate_for(
    settings: Settings,
    documents: Sequence[Document],
    count: int,
    seed: int,
    on_progress: Progress,
) -> list[Question]:
    """Open the default models and have so many questions made up, or fewer where the documents do
    not yield them. Raises ModelError and StorageError."""
    on_progress("Loading the model", 0, 0)
    catalog = Catalog(settings.home, settings.models)
    async with open_runtime(settings) as runtime:
        embedder = await runtime.models.embedder(catalog.default("embedding").id)
        candidates = await asyncio.to_thread(passages, documents, embedder.token_starts)
        questions: list[Question] = []
        async with runtime.models.chat(catalog.default("chat").id) as model:
            async with aclosing(generate(model, candidates, count, seed)) as found:
                async for question in found:
                    questions.append(question)
                    on_progress("Making up questions", len(questions), count)
    return questions


async def generate(
    model: ChatModel, candidates: Sequence[Passage], count: int, seed: int
) -> AsyncGenerator[Question, None]:
    """Up to ``count`` questions, each about another passage, drawn with the seed. Questions that
    have too little to do with their passage, or were asked before, are left out."""
    chosen = random.Random(seed).sample(candidates, min(len(candidates), _ATTEMPTS * count))
    asked: set[str] = set()
    for number, passage in enumerate(chosen):
        if len(asked) == count:
            return
        text = await _ask(model, passage, seed * 1_000_003 + number)
        if text in asked or not is_about(text, passage):
            continue
        asked.add(text)
        reference = Reference(passage.text, passage.start, passage.end, passage.document)
        yield Question(
            f"generated-{seed}-{number}", text, (reference,), generated_by=model.manifest.id
        )


def is_about(question: str, passage: Passage) -> bool:
    """Whether it is a whole question about what its passage speaks of."""
    language = passage.language or "en"
    # English question words are no stop words, and no passage has to have them.
    words = question.partition(" ")[2] if language == "en" else question
    terms = set(analyse(words, language))
    shared = terms & set(analyse(passage.text, language))
    is_enough = len(shared) >= max(_LEAST_SHARED, _LEAST_SHARE * len(terms))
    return question.endswith("?") and is_enough


async def _ask(model: ChatModel, passage: Passage, seed: int) -> str:
    messages = [ChatMessage("system", _SYSTEM)]
    for text, question in _EXAMPLES:
        messages.append(ChatMessage("user", _TASK.format(passage=text)))
        messages.append(ChatMessage("assistant", question))
    messages.append(ChatMessage("user", _TASK.format(passage=passage.text)))
    language = passage.language or "en"
    form = _FORMS.get(language, _FORMS[""])
    request = Generate(
        model.prompts.build(messages).token_ids,
        SamplingParams(temperature=_TEMPERATURE, seed=seed, max_tokens=_QUESTION_TOKENS),
        Constraint(f"%llguidance {{}}\nstart: {form}"),
    )
    said = []
    async with aclosing(model.engine.generate(request)) as items:
        async for item in items:
            if isinstance(item, Piece):
                said.append(item.text)
    return "".join(said).strip()
