"""All checks in the order in which people need them.

Nothing is changed, no model is loaded and no other machine is asked, but for a database that is on
one. A check that breaks is a finding of its own, and the others go on; what breaks several is told
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from localassist.errors import LocalAssistError
from localassist.services.checkup.finding import Configuration, Finding

# The name under which a check that breaks is reported, and where it is. Imported one by one:
# where an installation is broken, a module that a check needs may not even load.
_CHECKS = (
    ("python", "machine.python"),
    ("packages", "packages.packages"),
    ("llama.cpp", "machine.llama_cpp"),
    ("models", "models.models"),
    ("memory", "models.memory"),
    ("data folder", "data_folder.data_folder"),
    ("disk", "data_folder.disk"),
    ("database", "stored.database"),
    ("schema", "stored.schema"),
    ("contents", "stored.contents"),
    ("vector stores", "segments.segments"),
    ("work", "stored.work"),
    ("port", "network.port"),
    ("network", "network.network"),
    ("kernel environment", "isolation.kernel_environment"),
    ("isolation", "isolation.isolation"),
    ("processor", "machine.processor"),
    ("threads", "machine.threads"),
    ("compiler", "machine.compiler"),
    ("limits", "machine.limits"),
    ("clock", "stored.clock_of_rows"),
)
_OTHERS, _OTHERS_NAMED = "isolation.others", "isolation.others_named"


def examine(settings: Configuration, *, thorough: bool = False) -> Iterator[Finding]:
    """One finding after the other, as they are made; starting a sandbox takes a moment.
    ``thorough`` tries the ways of isolating that nobody has chosen, too."""
    told: set[str] = set()
    last = ("isolation", _OTHERS if thorough else _OTHERS_NAMED)
    for name, place in (*_CHECKS, last):
        try:
            yield from _found(place, settings)
        except Exception as error:  # whatever it is, the other checks are still of use
            yield _broken(name, error, told)


def _found(place: str, settings: Configuration) -> Iterator[Finding]:
    module, _, function = place.partition(".")
    check = getattr(import_module(f"{__package__}.{module}"), function)
    yield from check(settings)


def _broken(name: str, error: Exception, told: set[str]) -> Finding:
    if isinstance(error, LocalAssistError):
        says = error.message
    else:
        says = f"This could not be looked at: {type(error).__name__}: {error}."
    if says in told:
        return Finding(name, "unused", ("Not looked at, for a reason that is given above.",))
    told.add(says)
    return Finding(name, "failed", (says,))
