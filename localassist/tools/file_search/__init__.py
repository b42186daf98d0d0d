"""Answers from documents: what to search for, what to say of what was found, and what is cited.

Pure functions of texts; searching and generating are others' work.
"""

from localassist.tools.file_search.citing import CitationReader
from localassist.tools.file_search.grounding import grounded_answer
from localassist.tools.file_search.queries import queries_of
from localassist.tools.file_search.quoting import QuotedAnswer, quote_first
from localassist.tools.file_search.results import Citation, Cited, Result, number, render
from localassist.tools.file_search.small_talk import nothing_found

__all__ = [
    "Citation",
    "CitationReader",
    "Cited",
    "QuotedAnswer",
    "Result",
    "grounded_answer",
    "nothing_found",
    "number",
    "queries_of",
    "quote_first",
    "render",
]
