"""What the terminal chat shows: answers as Markdown, and images."""

from localassist.cli.display.answer import AnswerView, markdown
from localassist.cli.display.clean import cleaned
from localassist.cli.display.images import show_image

__all__ = ["AnswerView", "cleaned", "markdown", "show_image"]
