"""Settings of the registry: which models answer to which names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ToolMode = Literal["native", "guided", "none", "auto"]
"""How a model calls functions; see ``models/README.md``."""

Quoting = Literal["first", "grounded", "free", "auto"]
"""How a model answers from documents; see ``models/README.md``."""


PUBLIC_HUB = "https://huggingface.co"


class ModelsSettings(BaseModel):
    """``[models]`` in ``localassist.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_chat: str | None = None
    """Id of the chat model that stands in for hosted ones. Unset: the one chosen with
    ``localassist models default``, or else the embedded model."""

    default_embedder: str | None = None
    """Id of the embedding model that stands in for hosted ones. Unset: chosen in the same way."""

    aliases: dict[str, str] = Field(default_factory=dict)
    """Further names: what a request may say, to a model's id. A name may be a pattern such as
    ``team-*``; exact names win over patterns, earlier patterns over later ones."""

    hosted_chat_names: tuple[str, ...] = ("gpt-*", "chatgpt-*", "o1*", "o3*", "o4*")
    """Patterns of hosted model names that the default chat model answers to, so that programs
    run unchanged. Empty refuses them."""

    hosted_embedding_names: tuple[str, ...] = ("text-embedding-*",)
    """Patterns of hosted model names that the default embedding model answers to."""

    hub_url: str = PUBLIC_HUB
    """The hub that `localassist models pull owner/repo` asks: the public one, or a mirror of it
    with the same interface. Nothing else uses it."""

    ca_file: Path | None = None
    """Certificates, in PEM format, of authorities that downloads of models trust besides the
    system's: those of your own network, say."""

    tool_mode: dict[str, ToolMode] = Field(default_factory=dict)
    """How models call functions: a model's id to ``native``, ``guided``, ``none`` or ``auto``. Wins
    over the model's manifest. See [models](../../models/README.md#how-a-model-calls-functions)."""

    quoting: dict[str, Quoting] = Field(default_factory=dict)
    """How models answer from documents: a model's id to ``first``, ``grounded``, ``free`` or
    ``auto``. Wins over the model's manifest. See
    [models](../../models/README.md#how-a-model-answers-from-documents)."""
