"""Whether a message wants code to be run, as far as its words tell."""

from __future__ import annotations

import re

from localassist.tools.code_interpreter.plan import Decision
from localassist.tools.code_interpreter.wording import EXPLAINING, FUNCTION, PLOTTING, measure_of
from localassist.tools.code_interpreter.worked import Asked, Form
from localassist.tools.code_interpreter.worked.contents import is_about_files
from localassist.tools.file_search.small_talk import is_small_talk

_COMPUTING = re.compile(
    r"\b(?:calculate|compute|solve|simulate|evaluate|how many|how much|how long|average|mean"
    r"|median|sum|total|product of|percent(?:age)?|square root|probability|factorial|random"
    r"|sort|reverse|count|convert|generate|berechne\w*|rechne|wie viele?|sortier\w*|calcul\w*"
    r"|remainder|prime|fibonacci|divisible|derivative|integral|equation|interest"
    r"|standard deviation)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d")
_MAKING_FILES = re.compile(
    r"\b(?:create|generate|make|write|save|export|give me|erstell\w*)\b.{0,60}"
    r"\b(?:csv|excel|xlsx|spreadsheet|json|pdf|text file|file|datei)\b",
    re.IGNORECASE | re.DOTALL,
)
# Texts that a model writes by itself.
_PROSE = re.compile(
    r"\b(?:story|stories|poem|essay|letter|e-?mail|song|joke|haiku|article|speech|blog|summary of"
    r"|tweet|paragraph|recipe|gedicht|geschichte|brief|slogan|names? for|ideas?)\b",
    re.IGNORECASE,
)
_CODE_WORDS = re.compile(r"\b(?:python|code|script|function|program)\b", re.IGNORECASE)


def spoken_decision(message: str, asked: Asked, form: Form) -> Decision | None:
    """The decision, None where words do not settle it."""
    if is_small_talk(message):
        return Decision(False, "small talk")
    if _PROSE.search(message) and not _CODE_WORDS.search(message) and not asked.files:
        return Decision(False, "a text is wanted")
    worked = form(asked)
    if worked is not None:
        return Decision(True, worked.evidence)
    if EXPLAINING.search(message) and not _CODE_WORDS.search(message) and not asked.files:
        return Decision(False, "an explanation is wanted")
    if FUNCTION.search(message) and not EXPLAINING.search(message) and not _PROSE.search(message):
        return Decision(True, "code is asked for")
    if _MAKING_FILES.search(message):
        return Decision(True, "a file is asked for")
    if PLOTTING.search(message) and (asked.files or _NUMBER.search(message)):
        return Decision(True, "a figure is asked for")
    has_numbers = _NUMBER.search(message) is not None
    if _COMPUTING.search(message) and has_numbers:
        return Decision(True, "a calculation with numbers")
    is_computing = _COMPUTING.search(message) or measure_of(message)
    if asked.is_about_a_table and is_computing and not EXPLAINING.search(message):
        return Decision(True, "a calculation with files")
    if is_about_files(asked):
        return Decision(True, "a question about files")
    if not asked.files and not has_numbers:
        return Decision(False, "neither numbers, files nor code")
    return None
