"""What a model reads of code that was run."""

from __future__ import annotations

from localassist.tools.code_interpreter.base import DATA_FOLDER, Ending, Execution

MOST_CHARACTERS = 8000
"""Of the logs, about 2,500 tokens; the middle of what is longer is left out."""

_TAIL_SHARE = 0.6  # a traceback ends with what went wrong
_MOST_NAMED = 50  # files
_ENDED: dict[Ending, str] = {
    "ok": "",
    "error": "The code ended with an error.",
    "timed_out": "The code was stopped: it took longer than is allowed.",
    "died": "The kernel died while the code ran; its variables are lost.",
    "limit": "The code was stopped: it went over a limit.",
}


def output_text(execution: Execution, most_characters: int = MOST_CHARACTERS) -> str:
    """The output of a call for a model: the logs, what was shown and written, how it ended."""
    parts = [shortened(execution.logs.strip("\n"), most_characters)]
    count = len(execution.images)
    if count:
        figures = "1 image was" if count == 1 else f"{count} images were"
        parts.append(f"[{figures} shown to the user]")
    if execution.files:
        paths = sorted(execution.files)
        named = [f"sandbox:{DATA_FOLDER}/{path}" for path in paths[:_MOST_NAMED]]
        more = len(paths) - len(named)
        rest = f" and {more} more" if more else ""
        parts.append(f"[Files written: {', '.join(named)}{rest}]")
    if execution.failed:
        parts.append(f"[{_ENDED[execution.ending]}]")
    said = "\n".join(part for part in parts if part)
    return said or "[The code ran to its end and printed nothing.]"


def shortened(text: str, most_characters: int) -> str:
    """The text, or its beginning and its end around a line that says how much is missing. Lines
    stay whole where they are not very long."""
    if len(text) <= most_characters:
        return text
    tail = int(most_characters * _TAIL_SHARE)
    first, last = text[: most_characters - tail], text[-tail:]
    whole_first, whole_last = first.rpartition("\n")[0], last.partition("\n")[2]
    if len(whole_first) > len(first) // 2:
        first = whole_first
    if len(whole_last) > len(last) // 2:
        last = whole_last
    missing = len(text) - len(first) - len(last)
    return f"{first}\n[… {missing} characters left out …]\n{last}"
