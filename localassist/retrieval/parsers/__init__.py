"""Files of all kinds into text with places. A parser is a module here and a line in ``PARSERS``.

What is in this package runs on files that nobody vouches for; ``retrieval.parsing`` has it done by
a process with limits.
"""

from localassist.retrieval.parsers.registry import PARSERS, suffix_of, supported

__all__ = ["PARSERS", "suffix_of", "supported"]
