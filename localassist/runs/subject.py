"""A run that is being worked, and what it is worked with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localassist.core import Usage
from localassist.observability.timeline import Timeline
from localassist.runs.coding import Workplace
from localassist.runs.recorder import Recorder
from localassist.runs.searching import Stores
from localassist.schemas.runs import Run
from localassist.services.models import ChatModel
from localassist.tools.base import Toolbox


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed run: its wire form and its project, the sampling values as requested (None where it
    left them open), what its earlier turns have used, how often its workers died, whether it comes
    from one that did, what its code is to keep below, if that is less than the operator's, and when
    it did what so far."""

    run: Run
    project: str
    temperature: float | None
    top_p: float | None
    used: Usage
    interruptions: int
    is_taken_over: bool
    code_limits: Mapping[str, float] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)


@dataclass(frozen=True, slots=True)
class Subject:
    """A run at the beginning of a turn, and what it is worked with. ``place`` is where its code is
    run, None where it declares none."""

    job: Job
    recorder: Recorder
    model: ChatModel
    toolbox: Toolbox
    stores: Stores
    place: Workplace | None = None

    @property
    def run(self) -> Run:
        return self.job.run

    @property
    def calls_itself(self) -> bool:
        """Whether the model writes calls without being led or made to."""
        return self.model.guided is None and self.model.manifest.tool_mode != "none"

    @property
    def wants_text(self) -> bool:
        """Whether the answer is in plain words, not in a form that the caller gave."""
        wanted = dumped(self.run.response_format)
        return not isinstance(wanted, Mapping) or wanted["type"] == "text"


def dumped(value: Any) -> Any:
    """The wire form of a field that is either a word or an object."""
    return value if value is None or isinstance(value, str) else value.dump()
