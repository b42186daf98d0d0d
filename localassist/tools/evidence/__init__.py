"""What a question offers as argument values: numbers, dates, lists, phrases, and words of assent.

Pure text functions, English. They propose; the model chooses among what they found, so a miss costs
a value and never makes an argument invalid.
"""

from localassist.tools.evidence.question import Question

__all__ = ["Question"]
