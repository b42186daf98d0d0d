"""The abuse suite: its cases as data, what it makes of answers, and all of it on this machine."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localassist.sandbox.abuse.case import (
    GOOD_OUTCOMES,
    GOOD_PROOFS,
    Case,
    Finding,
    NoAnswer,
    source,
)
from localassist.sandbox.abuse.categories import CATEGORIES
from localassist.sandbox.abuse.runner import Suite
from localassist.sandbox.abuse.scene import Cell, Scene, said
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.outputs import CellEnded, CellStatus
from localassist.sandbox.providers import PROVIDERS
from tests.docs_pages import DOCS
from tests.sandbox.kernels import the_environment

CASES = [case for cases in CATEGORIES.values() for case in cases]
PROTECTIONS = PROVIDERS["bubblewrap"].protections
PAGE = (DOCS / "sandbox_security.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """The first cell of every row of the first tables below a heading of the security page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [row[0].strip().strip("`") for row in rows]


# --- cases as data --------------------------------------------------------------------------------


def test_names_are_unique_and_there_are_many() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_whole(case: Case) -> None:
    ast.parse(source(case.code))
    assert case.code or case.judge
    listed = first_cells("The protections")
    assert case.is_known or case.stopped_by in listed
    assert not (case.hits_all and case.ablation)
    if case.ablation is not None:
        assert case.ablation.without <= PROTECTIONS.keys()
        assert case.ablation.without or case.ablation.limits or case.ablation.judge


def test_the_page_names_every_protection_category_and_gap() -> None:
    assert set(first_cells("The protections")) >= PROTECTIONS.keys()
    gaps = [case.name for case in CATEGORIES["known"]]
    assert first_cells("What is not kept from code")[1:] == gaps
    assert all(case.is_known == (case.name in gaps) for case in CASES)
    for category, cases in CATEGORIES.items():
        assert f"| `{category}` | {len(cases)} |" in PAGE
    assert f"tries {len(CASES)} attacks" in PAGE


# --- what is made of answers ----------------------------------------------------------------------


def answered(text: str, status: CellStatus = "ok", notice: str | None = None) -> Cell:
    return Cell((), text, (), CellEnded(status, notice), 0.1, 0)


@pytest.mark.parametrize(
    ("cell", "finding"),
    [
        (answered("abuse:stopped:a\nabuse:reached:b\n"), Finding(True, "b")),
        (answered("noise\nabuse:stopped:no: really\n"), Finding(False, "no: really")),
        (answered("abuse:absent:no IPv6\nabuse:stopped:x\n"), Finding(None, "no IPv6")),
        (answered("", "limit", "too much"), Finding(False, "limit: too much")),
        (answered("abuse:reached:all\n", "died"), Finding(True, "all")),
    ],
)
def test_one_success_is_a_success(cell: Cell, finding: Finding) -> None:
    assert said(cell) == finding


@pytest.mark.parametrize("cell", [answered("quiet"), answered("Traceback …", "error")])
def test_a_case_that_says_nothing_has_blocked_nothing(cell: Cell) -> None:
    with pytest.raises(NoAnswer):
        said(cell)


# --- the suite on this machine --------------------------------------------------------------------


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    settings = SandboxSettings()
    environment = the_environment()
    provider = PROVIDERS["bubblewrap"](settings)
    async with Suite.opened(provider, settings, environment) as suite:
        yield suite


async def test_nothing_is_attacked_where_nothing_isolates() -> None:
    class Open(PROVIDERS["bubblewrap"]):  # type: ignore[misc]
        level = "none"

    environment = the_environment()
    with pytest.raises(ValueError, match="isolates nothing"):
        async with Suite.opened(Open(SandboxSettings()), SandboxSettings(), environment):
            pass


@pytest.mark.sandbox
async def test_an_attack_that_succeeds_is_seen(suite: Suite) -> None:
    async def kill_victim(scene: Scene) -> Finding:
        scene.bait.victim.kill()
        scene.bait.victim.wait()
        return Finding(False, "says that it did nothing")

    async def hurt_neighbour(scene: Scene) -> Finding:
        await scene.neighbour.cell("del kept")
        return Finding(False, "says that it did nothing")

    reads = Case("reads", "read its own data folder", "", "attempt(lambda: os.listdir('/'))")
    wrong = Case("wrong", "nothing, by a mistake", "", "attempt(lambda: undefined)")
    kills = Case("kills", "kill", "", judge=kill_victim)
    hurts = Case("hurts", "hurt", "", judge=hurt_neighbour)
    gone = Case("gone", "what is not known any more", "", "say('stopped', 'x')", is_known=True)
    fine = Case("fine", "nothing", "", "say('stopped', 'x')")
    outcomes = {}
    for case in (reads, wrong, kills, hurts, gone, fine):
        result = await suite.try_case("made-up", case)
        outcomes[case.name] = (result.outcome, result.detail)
    assert outcomes["reads"][0] == "NOT BLOCKED"
    assert outcomes["wrong"][0] == "no answer" and "undefined" in outcomes["wrong"][1]
    assert outcomes["kills"] == ("NOT BLOCKED", "a process of the host was killed")
    assert outcomes["hurts"] == ("NOT BLOCKED", "another kernel was hurt")
    assert outcomes["gone"][0] == "changed"
    assert outcomes["fine"][0] == "blocked"


@pytest.mark.sandbox
@pytest.mark.timeout(400)
@pytest.mark.parametrize("category", CATEGORIES)
async def test_every_attack_is_stopped_or_known(suite: Suite, category: str) -> None:
    results = [await suite.try_case(category, case) for case in CATEGORIES[category]]
    bad = [(r.case.name, r.outcome, r.detail) for r in results if r.outcome not in GOOD_OUTCOMES]
    assert not bad


@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "known"])
async def test_every_attack_succeeds_without_what_stops_it(suite: Suite, category: str) -> None:
    cases = [case for case in CATEGORIES[category] if case.ablation]
    results = [await suite.try_case(category, case, ablation=True) for case in cases]
    assert results
    bad = [(r.case.name, r.proof, r.proof_detail) for r in results if r.proof not in GOOD_PROOFS]
    assert not bad
