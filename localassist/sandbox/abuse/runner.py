"""Carries abuse cases out, one after the other, and looks after each whether all is well.

Kernels are used again as long as they answer. Beside the kernel that is abused runs a neighbour,
which has to answer after every case, with its variables.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localassist.errors import LocalAssistError
from localassist.sandbox.abuse.bait import Bait, set_out
from localassist.sandbox.abuse.case import (
    Ablation,
    Case,
    Finding,
    NoAnswer,
    Outcome,
    Proof,
)
from localassist.sandbox.abuse.scene import Lodgings, Room, Scene, prepare, said, still_there
from localassist.sandbox.choosing import AUTOMATIC
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers import PROVIDERS, Provider

LIMITS = Limits(
    cell_seconds=60.0,
    memory_mb=600,
    disk_mb=64,
    files=2000,
    processes=96,
    output_characters=50_000,
    images=20,
    output_files=100,
)
"""Small, so that little is needed to exceed them. Time is not: a busy machine is slow."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case. ``stopped_by`` is the case's own, or the provider where that does not
    have it. ``proof`` is None where it was not asked for or there is none."""

    category: str
    case: Case
    stopped_by: str
    outcome: Outcome
    detail: str
    seconds: float
    proof: Proof | None = None
    proof_detail: str = ""


class Suite:
    """Runs cases under one provider. ``opened`` makes one, with bait and neighbour in place."""

    def __init__(self, lodgings: Lodgings, bait: Bait, stack: contextlib.AsyncExitStack) -> None:
        self._lodgings = lodgings
        self._bait = bait
        self._stack = stack
        self._neighbour: Room | None = None
        self._room: Room | None = None
        self._room_stack = contextlib.AsyncExitStack()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls, provider: Provider, settings: SandboxSettings, environment: Environment
    ) -> AsyncIterator[Suite]:
        """Raises ValueError for a provider that isolates nothing: the attacks are real."""
        if provider.level == "none":
            raise ValueError(f"{provider.name} isolates nothing: the attacks would succeed")
        async with contextlib.AsyncExitStack() as stack:
            bait = stack.enter_context(set_out(provider.owner_uid()))
            folder = _folder_of_rooms(bait.folder)
            lodgings = Lodgings(
                provider, settings, folder, environment.folder, environment.python_base, LIMITS
            )
            suite = cls(lodgings, bait, stack)
            stack.push_async_callback(suite._leave_room)
            yield suite

    async def try_case(self, category: str, case: Case, *, ablation: bool = False) -> Result:
        """Once, and once more without what stops it where ``ablation`` is set."""
        began = time.monotonic()
        outcome, detail = await self._outcome(case)
        seconds = time.monotonic() - began
        result = Result(category, case, self._stopped_by(case), outcome, detail, seconds)
        if ablation and case.ablation is not None:
            proof, detail = await self._proof(case, case.ablation)
            result = replace(result, proof=proof, proof_detail=detail)
        return result

    def _stopped_by(self, case: Case) -> str:
        provider = self._lodgings.provider
        is_protection = case.stopped_by in PROVIDERS[AUTOMATIC].protections
        is_there = not is_protection or case.stopped_by in provider.protections
        return case.stopped_by if is_there else provider.name

    async def _outcome(self, case: Case) -> tuple[Outcome, str]:
        if case.hits_all and self._lodgings.provider.level != "strong":
            return "not applicable", "would hit all processes of the user, were it not stopped"
        try:
            finding = await self._carried_out(case, Ablation())
        except (NoAnswer, LocalAssistError, OSError) as error:
            await self._leave_room()
            return "no answer", str(error)
        harm = await self._harm(case)
        if finding.succeeded is None:
            return "not applicable", finding.detail
        if harm is not None:
            return "NOT BLOCKED", harm
        if case.is_known:
            return ("known" if finding.succeeded else "changed"), finding.detail
        return ("NOT BLOCKED" if finding.succeeded else "blocked"), finding.detail

    async def _proof(self, case: Case, ablation: Ablation) -> tuple[Proof, str]:
        missing = ablation.without - self._lodgings.provider.protections.keys()
        if missing:
            return "not applicable", f"{self._lodgings.provider.name} has no {', '.join(missing)}"
        try:
            finding = await self._carried_out(case, ablation)
        except (NoAnswer, LocalAssistError, OSError) as error:
            await self._leave_room()
            return "no answer", str(error)
        await self._harm(case)
        if finding.succeeded is None:
            return "not applicable", finding.detail
        return ("succeeds" if finding.succeeded else "STILL STOPPED"), finding.detail

    async def _carried_out(self, case: Case, ablation: Ablation) -> Finding:
        neighbour = await self._neighbour_room()
        changed: dict[str, Any] = {**case.limits, **ablation.limits}
        limits = replace(self._lodgings.limits, **changed)
        room = await self._room_for(limits, ablation.without)
        scene = Scene(room, neighbour, self._bait, self._lodgings, case.code)
        judge = ablation.judge or case.judge
        return said(await scene.cell()) if judge is None else await judge(scene)

    async def _harm(self, case: Case) -> str | None:
        """What else was hurt, in words; the kernel is kept if it can be used again."""
        room = self._room
        if room is not None and (case.spoils or not await room.answers()):
            pids = set(room.kernel.pids())
            await self._leave_room()
            if left := await still_there(pids):
                return f"{len(left)} processes are left of the kernel"
        elif room is not None:
            room.empty()
        if not self._bait.victim_lives():
            self._bait.replace_victim()
            await self._leave_room()
            return "a process of the host was killed"
        neighbour = await self._neighbour_room()
        cell = await neighbour.cell("print(kept + 1)") if neighbour.kernel.is_alive() else None
        if cell is None or "42" not in cell.text:
            self._neighbour = None
            return "another kernel was hurt"
        return None

    async def _neighbour_room(self) -> Room:
        if self._neighbour is None:
            self._neighbour = await self._stack.enter_async_context(self._lodgings.room())
            await self._neighbour.cell("kept = 41")
        return self._neighbour

    async def _room_for(self, limits: Limits, missing: frozenset[str]) -> Room:
        """A prepared kernel with these limits: the last one, where it is of the same kind."""
        room = self._room
        if room is not None and room.box.limits == limits and room.box.without == missing:
            return room
        await self._leave_room()
        room = await self._room_stack.enter_async_context(
            self._lodgings.room(limits, missing=missing)
        )
        self._room = room
        await prepare(room, self._bait)
        return room

    async def _leave_room(self) -> None:
        self._room = None
        await self._room_stack.aclose()


def _folder_of_rooms(bait: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rooms-", dir=bait))
    folder.chmod(0o711)
    return folder
