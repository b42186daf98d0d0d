"""All worked forms, in the order in which they are tried."""

from __future__ import annotations

from localassist.tools.code_interpreter.worked.arithmetic import arithmetic
from localassist.tools.code_interpreter.worked.base import Asked, Form, Worked
from localassist.tools.code_interpreter.worked.calendar import calendar
from localassist.tools.code_interpreter.worked.contents import contents
from localassist.tools.code_interpreter.worked.documents import document
from localassist.tools.code_interpreter.worked.equations import equation
from localassist.tools.code_interpreter.worked.functions import function
from localassist.tools.code_interpreter.worked.plots import figure
from localassist.tools.code_interpreter.worked.sequences import sequence
from localassist.tools.code_interpreter.worked.statistics import overview, statistics

FORMS: tuple[Form, ...] = (
    function,
    document,
    figure,
    statistics,
    calendar,
    sequence,
    equation,
    arithmetic,
)


def worked_cell(asked: Asked) -> Worked | None:
    """The cell of the first form that fits, None when none does."""
    forms = (*FORMS, overview, contents) if asked.is_decided else FORMS
    found = (form(asked) for form in forms)
    return next((worked for worked in found if worked is not None), None)
