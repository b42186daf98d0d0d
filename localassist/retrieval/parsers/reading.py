"""A file into a document: the right parser, its errors in words, the language."""

from __future__ import annotations

import errno
import logging
import warnings
from dataclasses import replace
from pathlib import Path

from localassist.errors import RetrievalError, UnreadableFile
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers.base import TextWriter
from localassist.retrieval.parsers.detect import kind_of
from localassist.retrieval.parsers.language import language_of
from localassist.retrieval.parsers.registry import PARSERS

_log = logging.getLogger(__name__)


def read_document(path: Path, filename: str, max_characters: int) -> ParsedDocument:
    """Raises UnsupportedFile or UnreadableFile, whatever is wrong with the file; MemoryError only
    is left to the caller, who knows how much there was."""
    try:
        kind = kind_of(path, filename)
        out = TextWriter(max_characters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            PARSERS[kind](path, out)
    except (RetrievalError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableFile("The file is no longer there.") from error
    except RecursionError as error:
        raise UnreadableFile("The file's content is nested too deeply to be read.") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise MemoryError from error
        # Libraries meet damaged files with errors of every kind.
        _log.debug("%s cannot be read", filename, exc_info=True)
        raise UnreadableFile(
            "The file cannot be read: it is damaged, or uses its format in an unusual way. Save it "
            f"again in the program that made it, and add the copy. ({type(error).__name__})"
        ) from error
    document = out.document()
    if not document.text.strip():
        raise UnreadableFile("The file holds no text.")
    return replace(document, language=language_of(document.text))
