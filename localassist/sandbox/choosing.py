"""Which provider isolates kernels: the one that is set, if it works here. Nothing weaker takes the
place of what does not."""

from __future__ import annotations

from pathlib import Path

from localassist.errors import SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment, find_environment
from localassist.sandbox.providers import PROVIDERS
from localassist.sandbox.providers.base import Provider
from localassist.sandbox.verdict import Verdict

AUTOMATIC = "bubblewrap"
"""What ``auto`` stands for. The others are weaker, or need an engine that an operator knows of."""


def named(settings: SandboxSettings) -> Provider:
    """The provider of the settings, whether it works or not."""
    return PROVIDERS[AUTOMATIC if settings.provider == "auto" else settings.provider](settings)


def choose(settings: SandboxSettings, home: Path) -> tuple[Provider, Environment]:
    """The provider of the settings, tried out with the environment for kernels, and that. Blocks
    for some seconds. Raises SandboxUnavailable, which says what was found and what can be done."""
    environment = find_environment(settings, home)
    provider = named(settings)
    verdict = provider.probe(environment)
    if not verdict.ok:
        raise SandboxUnavailable(_refusal(verdict))
    return provider, environment


def verdict_of(settings: SandboxSettings, home: Path) -> Verdict:
    """The same, as what was found out. Blocks for some seconds."""
    provider = named(settings)
    try:
        environment = find_environment(settings, home)
    except SandboxUnavailable as error:
        return Verdict(provider.name, "none", False, (error.message,))
    return provider.probe(environment)


def _refusal(verdict: Verdict) -> str:
    reasons = " ".join(verdict.reasons)
    hint = f" To change that: {verdict.fix_hint}" if verdict.fix_hint else ""
    return f"Code cannot be isolated by {verdict.provider} here. {reasons}{hint}"
