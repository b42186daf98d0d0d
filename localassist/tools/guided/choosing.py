"""Which tool a question means, and whether it means any.

Which: the one whose description makes the question most likely. Whether: by how much it does so,
how similar the two are, which words they share, and how much of what the tool requires stands in
the question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from localassist.core import ToolSpec
from localassist.tools.evidence import Question
from localassist.tools.evidence.words import name_words, stems
from localassist.tools.guided.plan import ToolScore
from localassist.tools.guided.schemas import is_number, simplified
from localassist.tools.guided.work import Work
from localassist.tools.guided.worked_examples import summary

# Texts to unit vectors.
Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]

_ASKED = "A user asked this question:"


@dataclass(frozen=True, slots=True)
class GuidedThresholds:
    """When a question is a call: a logistic model of the evidence, whose log-odds exceed 0.

    *Gain* is the mean over the question's tokens of log p(token | tool) − log p(token), in nats;
    above ``gain_cap`` it only says that words are shared. *Similarity* is the mean cosine of the
    question with the tool's name and with its name and description. *Shared words* is the mean
    share of the name's and of the description's words that the question has. *Lacking* is 1 for a
    question with fewer numbers than the tool requires. *Grounding* is how much of what the tool
    requires stands in the question.

    Fitted with SmolLM2-135M-Instruct and all-MiniLM-L6-v2 on BFCL's questions (simple_python,
    multiple, parallel; irrelevance) and some of our own, so that 86 % of BFCL's are rejected that
    its tools do not answer: 94 % of the calls are kept, without an embedder 88 %. Those tools are
    close to their questions; ordinary small talk is far from this limit.
    """

    gain_cap: float = 0.5
    gain: float = 1.35
    similarity: float = 5.6
    shared_words: float = 3.35
    lacking: float = -2.15
    grounding: float = 3.4
    bias: float = -6.42
    # Without an embedder.
    words_gain: float = 3.1
    words_shared: float = 4.3
    words_lacking: float = -1.95
    words_grounding: float = 3.7
    words_bias: float = -5.35

    scored_tools: int = 16
    short_question_words: int = 5


class Chooser:
    """Scores tools for a question. ``embed`` sharpens the decision where there is one."""

    def __init__(self, embed: Embed | None, thresholds: GuidedThresholds) -> None:
        self._embed = embed
        self._thresholds = thresholds

    async def scores(
        self, work: Work, question: Question, tools: Sequence[ToolSpec]
    ) -> list[ToolScore]:
        """Of the most similar tools; all of them unless there are many. Decisions suppose that
        whatever the tool requires will be found (``grounded``)."""
        similarities = await self._similarities(question.text, tools)
        asked = stems(question.text)
        shared = [_shared(asked, tool) for tool in tools]
        closest = sorted(
            range(len(tools)), key=lambda at: similarities[at] + shared[at], reverse=True
        )
        base = await work.log_probability(_ASKED, question.text)
        scores = []
        for at in closest[: self._thresholds.scored_tools]:
            context = f"{summary(tools[at])}\n{_ASKED}"
            likelihood = await work.log_probability(context, question.text)
            score = ToolScore(
                name=tools[at].name,
                likelihood=likelihood,
                gain=likelihood - base,
                similarity=similarities[at],
                shared_words=shared[at],
                decision=0.0,
            )
            lacks = _lacks_numbers(tools[at], question)
            scores.append(replace(score, decision=self._decision(score, lacks)))
        return scores

    def grounded(self, score: ToolScore, grounding: float) -> ToolScore:
        """The score once it is known how much of the call stands in the question, 0 to 1."""
        weights = self._thresholds
        weight = weights.words_grounding if self._embed is None else weights.grounding
        return replace(score, decision=score.decision - weight * (1 - grounding))

    def _decision(self, score: ToolScore, lacks_numbers: bool) -> float:
        weights = self._thresholds
        gain = min(score.gain, weights.gain_cap)
        if self._embed is None:
            return (
                weights.words_bias
                + weights.words_gain * gain
                + weights.words_shared * score.shared_words
                + weights.words_lacking * lacks_numbers
                + weights.words_grounding
            )
        return (
            weights.bias
            + weights.gain * gain
            + weights.similarity * score.similarity
            + weights.shared_words * score.shared_words
            + weights.lacking * lacks_numbers
            + weights.grounding
        )

    async def _similarities(self, question: str, tools: Sequence[ToolSpec]) -> list[float]:
        if self._embed is None:
            return [0.0] * len(tools)
        texts = [text for tool in tools for text in (summary(tool), _spoken_name(tool))]
        asked, *offered = await self._embed([question, *texts])
        cosines = [sum(a * b for a, b in zip(asked, text, strict=True)) for text in offered]
        return [(cosines[at] + cosines[at + 1]) / 2 for at in range(0, len(cosines), 2)]


def _shared(asked: set[str], tool: ToolSpec) -> float:
    texts = (stems(_spoken_name(tool)), stems(tool.description))
    return sum(len(text & asked) / max(1, len(text)) for text in texts) / len(texts)


def _spoken_name(tool: ToolSpec) -> str:
    return " ".join(name_words(tool.name))


def _lacks_numbers(tool: ToolSpec, question: Question) -> bool:
    """The tool requires more numbers than the question has."""
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    wanted = [name for name in required if is_number(simplified(properties.get(name, {})))]
    return bool(wanted) and len(wanted) > len(question.numbers)
