"""Can code be run, and how well is it kept in?"""

from __future__ import annotations

from collections.abc import Iterator

from localassist.errors import SandboxUnavailable
from localassist.sandbox.choosing import named
from localassist.sandbox.environment import BUILD, Environment, find_environment, is_current
from localassist.sandbox.providers import PROVIDERS
from localassist.sandbox.verdict import Verdict
from localassist.services.checkup.finding import Configuration, Finding, Status

_FIX = f"{BUILD}; without a network, from the folder `kernel` of a bundle with --from"


def kernel_environment(settings: Configuration) -> Iterator[Finding]:
    name = "kernel environment"
    try:
        environment = find_environment(settings.sandbox, settings.home)
    except SandboxUnavailable as error:
        yield Finding(name, "failed", (error.message,), _FIX)
        return
    says = f"{environment.folder}, Python from {environment.python_base}."
    if is_current(settings.sandbox, settings.home):
        yield Finding(name, "ok", (says,))
    else:
        stale = "It was built for another release or other packages."
        yield Finding(name, "warning", (stale, says), _FIX)


def isolation(settings: Configuration) -> Iterator[Finding]:
    """The way that is chosen."""
    name = named(settings.sandbox).name
    yield _tried(name, settings, is_wanted=True)


def others(settings: Configuration) -> Iterator[Finding]:
    """The ways that nobody has chosen, each tried."""
    for name in _unchosen(settings):
        yield _tried(name, settings, is_wanted=False)


def others_named(settings: Configuration) -> Iterator[Finding]:
    """The same in a line, and none of them tried."""
    if names := _unchosen(settings):
        says = f"{', '.join(names)}: not chosen, and not tried."
        yield Finding("other isolation", "unused", (says,))


def _unchosen(settings: Configuration) -> list[str]:
    chosen = named(settings.sandbox).name
    return [name for name in PROVIDERS if name != chosen]


def _tried(name: str, settings: Configuration, *, is_wanted: bool) -> Finding:
    verdict = PROVIDERS[name](settings.sandbox).probe(_environment(settings))
    works = f"works; protection: {verdict.level}" if verdict.ok else "does not work here"
    chosen = "" if is_wanted else " Not chosen by sandbox.provider."
    says = (f"{name} {works}.{chosen}", *verdict.reasons)
    if not is_wanted:
        return Finding(f"isolation: {name}", "unused", says)
    return Finding(f"isolation: {name}", _status(verdict), says, verdict.fix_hint)


def _environment(settings: Configuration) -> Environment | None:
    try:
        return find_environment(settings.sandbox, settings.home)
    except SandboxUnavailable:
        return None


def _status(verdict: Verdict) -> Status:
    if not verdict.ok:
        return "failed"
    return "ok" if verdict.level == "strong" else "warning"
