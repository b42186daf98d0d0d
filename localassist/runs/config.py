"""Settings of the run loop and its executor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """``[runs]`` in ``localassist.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lifetime_seconds: int = Field(default=600, ge=1)
    """How long a run may wait for tool outputs before it expires. A run that is queued or working
    does not expire: a slow machine is not the caller's fault."""

    concurrency: int = Field(default=8, ge=1)
    """Runs this process works on at the same time; the engine batches them."""

    max_queued: int = Field(default=1000, ge=1)
    """Runs that may wait for a worker; one more is refused with 429."""

    lease_seconds: float = Field(default=15.0, gt=0)
    """A run whose worker has not renewed its claim for this long is taken over by another."""

    poll_seconds: float = Field(default=0.5, gt=0)
    """How often the database is asked for work and cancellations of other processes."""

    flush_seconds: float = Field(default=0.025, ge=0)
    """Text deltas of all runs are stored together at most this often; the first at once."""

    log_retention_seconds: int = Field(default=24 * 3600, ge=0)
    """How long the event log of an ended run is kept for streams that attach again."""

    max_interruptions: int = Field(default=5, ge=0)
    """How often a run is taken up again after its worker died, before it fails."""

    max_tool_rounds: int = Field(default=20, ge=1)
    """Rounds of tool calls after which a run fails."""

    code_attempts: int = Field(default=3, ge=1)
    """Pieces of code in a row that may fail before a guided model reports the error instead of
    writing another one."""

    passages_share: float = Field(default=0.5, gt=0, le=0.9)
    """The part of a model's context, or of what is left of a run's `max_prompt_tokens`, that a file
    search may fill with passages."""

    passages_tokens: int = Field(default=16_000, ge=100)
    """The most tokens a file search may fill with passages, however long the context is. They are
    counted with the tokenizer of the vector store's embedding model."""

    relevance_score: float = Field(default=0.5, ge=0, le=1)
    """An answer made of quotations says that the documents hold nothing when the best passage has a
    lower score than this."""

    file_wait_seconds: float = Field(default=60.0, ge=0)
    """How long a run waits for files that are still being read: before it begins, for those of its
    thread's vector store and of an assistant's `file_ids`; when nothing relevant is found without
    them, for those of an assistant's vector store, no longer than this after they were attached."""

    completion_reserve_tokens: int = Field(default=1024, ge=16)
    """Room kept for the answer when a conversation is fitted into the context, at most a quarter
    of the context."""
