"""Worked forms: cells for what people ask most, with the names and numbers of the question and of
the files in their places. A form that does not fit gives None; results come from running them."""

from localassist.tools.code_interpreter.worked.base import Asked, Form, Worked
from localassist.tools.code_interpreter.worked.forms import worked_cell

__all__ = ["Asked", "Form", "Worked", "worked_cell"]
