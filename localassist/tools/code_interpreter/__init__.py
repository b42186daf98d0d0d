"""The code interpreter as a tool: what a model is told of it, what it writes, and what is said of
the result. Runs nothing."""

from localassist.tools.code_interpreter.coder import Coder
from localassist.tools.code_interpreter.plan import Decision, Written

__all__ = ["Coder", "Decision", "Written"]
