"""``localassist chat``: a conversation in the terminal, kept as a thread like any other.

Talks through the in-process client, so it does nothing a user's own program could not do.
"""

from localassist.cli.chat.command import chat as chat
