"""All tables. One row class per object, plus the run's event log, the thread's items, tombstones.

``seq`` is the insertion order and breaks ties between objects made in the same second. Nested
wire values (tools, content, metadata) are JSON columns; what is searched or locked has its own.
Every object belongs to a project, so that API keys with separate projects need no migration.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from localassist.storage.config import DEFAULT_PROJECT as DEFAULT_PROJECT

ACTIVE_STATUSES = ("queued", "in_progress", "requires_action", "cancelling")
Json = JSON(none_as_null=True)
_Seq = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: Json, list[Any]: Json, Any: Json, int: BigInteger}


class ProjectRow(Base):
    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int]


class ObjectRow(Base):
    """What every stored API object has."""

    __abstract__ = True
    # AUTOINCREMENT: a sequence number is never used twice, also not after a deletion.
    __table_args__: Any = {"sqlite_autoincrement": True}

    seq: Mapped[int] = mapped_column(_Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[int]

    @declared_attr
    def project_id(cls) -> Mapped[str]:
        return mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)


class AssistantRow(ObjectRow):
    __tablename__ = "assistants"
    name: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    instructions: Mapped[str | None] = mapped_column(Text)
    tools: Mapped[list[Any]]
    tool_resources: Mapped[dict[str, Any]]
    file_ids: Mapped[list[Any]]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    temperature: Mapped[float | None] = mapped_column(Float)
    top_p: Mapped[float | None] = mapped_column(Float)
    response_format: Mapped[Any] = mapped_column(Json, nullable=True)
    reasoning_effort: Mapped[str | None] = mapped_column(String(16))


class ThreadRow(ObjectRow):
    __tablename__ = "threads"
    tool_resources: Mapped[dict[str, Any]]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class MessageRow(ObjectRow):
    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_thread", "thread_id", "created_at", "seq"),
        {"sqlite_autoincrement": True},
    )
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    incomplete_reason: Mapped[str | None] = mapped_column(String(32))
    completed_at: Mapped[int | None]
    incomplete_at: Mapped[int | None]
    content: Mapped[list[Any]]
    attachments: Mapped[list[Any]]
    file_ids: Mapped[list[Any]]
    assistant_id: Mapped[str | None] = mapped_column(String(64))
    run_id: Mapped[str | None] = mapped_column(String(64), index=True)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class RunRow(ObjectRow):
    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_thread", "thread_id", "created_at", "seq"),
        Index("ix_runs_status", "status", "seq"),
        # The thread lock, held by the database itself: two processes cannot both start a run.
        Index(
            "uq_runs_active_thread",
            "thread_id",
            unique=True,
            sqlite_where=text(f"status IN {ACTIVE_STATUSES}"),
            postgresql_where=text(f"status IN {ACTIVE_STATUSES}"),
        ),
        {"sqlite_autoincrement": True},
    )
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    assistant_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    required_action: Mapped[dict[str, Any] | None] = mapped_column(Json)
    last_error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    incomplete_reason: Mapped[str | None] = mapped_column(String(32))
    expires_at: Mapped[int | None]
    started_at: Mapped[int | None]
    cancelled_at: Mapped[int | None]
    failed_at: Mapped[int | None]
    completed_at: Mapped[int | None]
    ended_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
    usage: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # What the run was created with, frozen: model, instructions, tools, sampling, choices.
    request: Mapped[dict[str, Any]]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    # The local model that answers, once it is known: stored tokens are of its vocabulary.
    model_id: Mapped[str | None] = mapped_column(Text)
    context_truncation: Mapped[dict[str, Any] | None] = mapped_column(Json)
    last_event_seq: Mapped[int] = mapped_column(Integer)
    # The lease: which process works on the run, and until when it must have renewed its claim.
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Float)
    # How often a worker has died over the run since it last rested.
    interruptions: Mapped[int] = mapped_column(Integer)
    # What the run did when, see observability.timeline; None for runs of earlier releases.
    timeline: Mapped[dict[str, Any] | None] = mapped_column(Json, deferred=True)


class RunStepRow(ObjectRow):
    __tablename__ = "run_steps"
    __table_args__ = (
        Index("ix_run_steps_run", "run_id", "created_at", "seq"),
        {"sqlite_autoincrement": True},
    )
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    assistant_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(24))
    status: Mapped[str] = mapped_column(String(16))
    step_details: Mapped[dict[str, Any]]
    last_error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    completed_at: Mapped[int | None]
    failed_at: Mapped[int | None]
    cancelled_at: Mapped[int | None]
    expired_at: Mapped[int | None]
    usage: Mapped[dict[str, Any] | None] = mapped_column(Json)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class RunEventRow(Base):
    """The append-only log of a run: what its streams read. ``token_ids`` are the tokens behind a
    text delta, packed as little-endian uint32, from which an interrupted answer is continued."""

    __tablename__ = "run_events"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(48))
    data: Mapped[dict[str, Any]]
    token_ids: Mapped[bytes | None] = mapped_column(LargeBinary)


class ItemRow(Base):
    """What the model saw and said, in order: the thread's context, tool calls included.

    kind ``message``: a message, by ``message_id``; an assistant's carries the generated text and
    tokens. kind ``calls``: a turn that called tools, ``text`` and tokens verbatim, ``payload`` the
    calls. kind ``output``: the result of one call.
    """

    __tablename__ = "items"
    __table_args__ = (Index("ix_items_thread", "thread_id", "seq"), {"sqlite_autoincrement": True})
    seq: Mapped[int] = mapped_column(_Seq, primary_key=True, autoincrement=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    run_id: Mapped[str | None] = mapped_column(String(64))
    message_id: Mapped[str | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    text: Mapped[str | None] = mapped_column(Text)
    token_ids: Mapped[bytes | None] = mapped_column(LargeBinary)
    model_id: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(Json, nullable=True)


class FileRow(ObjectRow):
    __tablename__ = "files"
    filename: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    purpose: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    expires_at: Mapped[int | None]
    # When it was first seen that nothing names it, see storage.retention.
    unused_since: Mapped[int | None]


class TombstoneRow(Base):
    """The sort key of a deleted object: a list cursor that names it still works."""

    __tablename__ = "tombstones"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int]
    seq: Mapped[int]
    deleted_at: Mapped[int | None] = mapped_column(BigInteger, index=True)


class VectorStoreRow(ObjectRow):
    """``version`` grows with every change of the files that can be searched, so that an open index
    knows whether it is current. ``embedder_id`` is the embedding model all its vectors are of."""

    __tablename__ = "vector_stores"
    name: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    expires_after_days: Mapped[int | None]
    last_active_at: Mapped[int]
    embedder_id: Mapped[str] = mapped_column(Text)
    version: Mapped[int]


class StoreFileRow(Base):
    """A file in a vector store; while ``status`` is ``in_progress``, an entry of the ingest queue.

    ``id`` is the file's own id. ``chunk_tokens`` None is the strategy ``auto``. ``segment_key``
    names the parsed and embedded content, once there is one.
    """

    __tablename__ = "vector_store_files"
    __table_args__ = (
        UniqueConstraint("store_id", "file_id", name="uq_vector_store_files"),
        Index("ix_vector_store_files_status", "status", "seq"),
        Index("ix_vector_store_files_list", "store_id", "created_at", "seq"),
        Index("ix_vector_store_files_counts", "store_id", "status", "usage_bytes"),
        Index("ix_vector_store_files_file", "file_id"),
        {"sqlite_autoincrement": True},
    )
    seq: Mapped[int] = mapped_column(_Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column("file_id", ForeignKey("files.id", ondelete="CASCADE"))
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete="CASCADE"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    created_at: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    error_code: Mapped[str | None] = mapped_column(String(32))
    error_message: Mapped[str | None] = mapped_column(Text)
    usage_bytes: Mapped[int]
    chunk_tokens: Mapped[int | None] = mapped_column(Integer)
    chunk_overlap_tokens: Mapped[int | None] = mapped_column(Integer)
    attributes: Mapped[dict[str, Any]]
    segment_key: Mapped[str | None] = mapped_column(String(64), index=True)
    # How often the process has died over it.
    interruptions: Mapped[int] = mapped_column(Integer)


class FileBatchRow(ObjectRow):
    __tablename__ = "file_batches"
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete="CASCADE"))
    cancelled_at: Mapped[int | None]


class BatchEntryRow(Base):
    """A file that was attached with a batch."""

    __tablename__ = "file_batch_entries"
    batch_id: Mapped[str] = mapped_column(
        ForeignKey("file_batches.id", ondelete="CASCADE"), primary_key=True
    )
    file_id: Mapped[str] = mapped_column(
        ForeignKey("files.id", ondelete="CASCADE"), primary_key=True
    )


class UploadRow(ObjectRow):
    """``expires_after_seconds`` is for the file that comes of it."""

    __tablename__ = "uploads"
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(String(32))
    mime_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[int]
    expires_after_seconds: Mapped[int | None]
    file_id: Mapped[str | None] = mapped_column(String(64))


class UploadPartRow(ObjectRow):
    __tablename__ = "upload_parts"
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    bytes: Mapped[int]


class CodeFileRow(Base):
    """A file that code of a thread has written, under its path below ``/mnt/data``: the newest of
    that path. A new kernel of the thread finds it there again."""

    __tablename__ = "code_files"
    thread_id: Mapped[str] = mapped_column(
        ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), index=True)


class ApiKeyRow(Base):
    """A key that opens a project. Of the key itself only its SHA-256 is kept, and its end."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text, unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    ending: Mapped[str] = mapped_column(String(4))
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
