"""A scheduler over cells that answer, without a worker's threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from localassist.engine.batch import Output, build_batch
from localassist.engine.kv_cache import KvCache
from localassist.engine.pace import Pace
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.scheduler import Plan, Scheduler
from localassist.engine.sequence import Sequence
from tests.engine.cell_twin import ModelTwin, StoreTwin, next_token


class Unhurried(Pace):
    """Prompts may fill every step."""

    def prompt_rows(self, answers: int) -> int:
        return 512


class Frugal(Pace):
    """Prompts get three rows beside answers."""

    def prompt_rows(self, answers: int) -> int:
        return 3


@dataclass
class Harness:
    """A worker without threads: the likeliest token, answers of a fixed length."""

    cells: int
    batch_tokens: int
    max_sequences: int
    logits_rows: int = 16
    spare_slots: int = 6
    can_share: bool = True
    idle_cells: int | None = None
    draft_rows: int = 0
    pace: Pace = field(default_factory=lambda: Unhurried())
    store: StoreTwin | None = None
    propose: Callable[[list[int]], list[int]] = field(default=lambda tokens: [])
    answer_left: dict[Sequence, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = ModelTwin()
        kv = KvCache(self.model, cells=self.cells, slots=self.max_sequences + self.spare_slots)
        cache = PrefixCache(kv, self.store, can_share=self.can_share, idle_cells=self.idle_cells)
        self.scheduler = Scheduler(
            kv,
            cache,
            max_sequences=self.max_sequences,
            batch_tokens=self.batch_tokens,
            logits_rows=self.logits_rows,
            draft_rows=self.draft_rows,
            pace=self.pace,
        )

    def add(self, prompt: list[int], answer_tokens: int) -> Sequence:
        sequence = Sequence(list(prompt))
        self.answer_left[sequence] = answer_tokens
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> Plan:
        plan = self.scheduler.schedule()
        batch, outputs = build_batch(plan.chunks)
        assert len(batch) == plan.rows <= self.batch_tokens
        assert len(outputs) == sum(batch.wants_logits) <= self.logits_rows
        answers = self.model.forward(batch)
        self.scheduler.complete(plan)
        for chunk in plan.chunks:
            sequence = chunk.sequence
            rows = [output for output in outputs if output.sequence is sequence]
            if rows and sequence.scored_from is None:
                self.advance(sequence, rows, answers)
            self.scheduler.settle(chunk)
        self.check()
        return plan

    def advance(self, sequence: Sequence, rows: list[Output], answers: list[int]) -> None:
        """Take tokens from row to row, as long as they are what the next row was computed from."""
        draft = sequence.draft
        assert len(rows) == 1 + len(draft), "a draft that is not computed"
        for place, output in enumerate(rows):
            sequence.tokens.append(answers[output.row])
            self.answer_left[sequence] -= 1
            if self.answer_left[sequence] == 0:
                self.scheduler.finish(sequence)
                return
            if place < len(draft) and draft[place] != answers[output.row]:
                break
        sequence.draft = self.propose(sequence.tokens)

    def check(self) -> None:
        """Everything adds up, and the cells of running sequences spell their tokens."""
        self.scheduler.check_integrity()
        assert self.scheduler.kv.used_cells == self.model.used_cells
        for sequence in self.scheduler._running:
            expected = dict(enumerate(sequence.tokens[: sequence.computed]))
            assert self.model.spell(sequence.slot) == expected

    def run(self, most_steps: int = 5000) -> None:
        while self.scheduler.has_work:
            plan = self.step()
            assert plan.chunks or self.store is not None
            most_steps -= 1
            assert most_steps > 0, "no end in sight"


def guesser(quality: int, seed: int) -> Callable[[list[int]], list[int]]:
    """Drafts of random length, of which each token is right in ``quality`` of ten cases."""
    random = Random(seed)

    def propose(tokens: list[int]) -> list[int]:
        guess = list(tokens)
        for _ in range(random.randrange(5)):
            is_right = random.randrange(10) < quality
            guess.append(next_token(guess) if is_right else 9)
        return guess[len(tokens) :]

    return propose
