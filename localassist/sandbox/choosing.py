"""Which provider isolates kernels: the one that is set, if it works here. Nothing weaker takes the
place of what does not."""

from __future__ import annotations

from pathlib import Path

from localassist.errors import SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import find_environment
from localassist.sandbox.providers import PROVIDERS
from localassist.sandbox.providers.base import Provider
from localassist.sandbox.verdict import Verdict

AUTOMATIC = "bubblewrap"
"""What ``auto`` stands for. The others are weaker, or need an engine that an operator knows of."""


def named(settings: SandboxSettings) -> Provider:
    """The provider of the settings, whether it works or not."""
    return PROVIDERS[AUTOMATIC if settings.provider == "auto" else settings.provider](settings)


def choose(settings: SandboxSettings, home: Path) -> Provider:
    """The provider of the settings, tried out with the environment for kernels. Blocks for some
    seconds. Raises SandboxUnavailable, which says what was found and what can be done."""
    environment = find_environment(settings, home)
    provider = named(settings)
    verdict = provider.probe(environment.folder)
    if not verdict.ok:
        raise SandboxUnavailable(refusal(verdict))
    return provider


def refusal(verdict: Verdict) -> str:
    reasons = " ".join(verdict.reasons)
    hint = f" {verdict.fix_hint}" if verdict.fix_hint else ""
    return f"Code cannot be isolated by {verdict.provider} here. {reasons}{hint}"


def verdicts(settings: SandboxSettings, home: Path) -> list[Verdict]:
    """What was found out about every provider, in the order of preference."""
    try:
        environment = find_environment(settings, home).folder
    except SandboxUnavailable:
        environment = None
    return [provider(settings).probe(environment) for provider in PROVIDERS.values()]
