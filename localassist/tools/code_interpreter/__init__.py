"""The code interpreter as a tool: what a model is told of it, what it writes, and what is said of
the result. Runs nothing."""

from localassist.tools.code_interpreter.arguments import CodeReader
from localassist.tools.code_interpreter.coder import Coder
from localassist.tools.code_interpreter.links import FileLink, Linked, LinkReader
from localassist.tools.code_interpreter.plan import Decision, Written
from localassist.tools.code_interpreter.results import output_text
from localassist.tools.code_interpreter.spec import PYTHON, python_tool

__all__ = [
    "PYTHON",
    "CodeReader",
    "Coder",
    "Decision",
    "FileLink",
    "LinkReader",
    "Linked",
    "Written",
    "output_text",
    "python_tool",
]
