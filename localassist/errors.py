"""Every exception of localassist. The class says who must act; the wire form is made in ``server``.

LocalAssistError      message, code, type, param, status (a plain integer)
  ConfigError         operator: one line on stderr, exit code 2, before anything is opened
  RequestError        caller, ``invalid_request_error``
    InvalidRequest 400, UnsupportedParameter 400, ContextLengthExceeded 400,
    AuthenticationFailed 401, PermissionDenied 403, ResourceNotFound 404, MethodNotAllowed 405,
    PayloadTooLarge 413, RateLimited 429
  ModelError          ModelNotFound 404, ModelFileRejected, ModelLoadFailed, GenerationFailed,
                      GrammarRejected, PromptRejected: a run ends ``failed``; DownloadFailed
  RetrievalError      UnsupportedFile, UnreadableFile: a file's ingest ends ``failed`` with the code
                      ``unsupported_file``, ``invalid_file``; IndexUnavailable 500
  SandboxError        SandboxUnavailable, KernelStartFailed: a run that needs code ends ``failed``;
                      what happens to code that runs is its output, not an exception
  CapacityError       Overloaded, ShuttingDown: 503 with retry-after
  StorageError        StorageUnavailable, StorageCorrupt: 500, details logged, not leaked
  BundleError         a bundle cannot be made, is damaged or does not fit: one line, exit code 1
  LeaseLost           a run's lease went to another process; never reaches a caller

Nothing below ``server`` knows HTTP classes. Catch narrow, raise ``from``, log once, where handled.
"""

from __future__ import annotations


class LocalAssistError(Exception):
    """Base class. Class attributes are the defaults; the constructor may narrow them."""

    type: str = "server_error"
    status: int = 500
    code: str | None = None
    param: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class ConfigError(LocalAssistError):
    """A setting, flag or file of the operator's is wrong."""


class RequestError(LocalAssistError):
    """The caller sent something we cannot accept."""

    type = "invalid_request_error"
    status = 400


class InvalidRequest(RequestError):
    """A body, query or path value is malformed, or the object is in the wrong state."""


class UnsupportedParameter(RequestError):
    """A legal parameter that this runtime does not serve; never ignored silently."""

    code = "unsupported_parameter"


class ContextLengthExceeded(RequestError):
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class AuthenticationFailed(RequestError):
    """No API key, or a wrong one."""

    status = 401


class PermissionDenied(RequestError):
    """The key may not do this."""

    status = 403


class ResourceNotFound(RequestError):
    """No such object in the caller's project."""

    status = 404


class MethodNotAllowed(RequestError):
    """The route exists, the method does not."""

    status = 405


class PayloadTooLarge(RequestError):
    """The request body is larger than the configured limit."""

    status = 413


class RateLimited(RequestError):
    """A queue is full."""

    type = "requests"
    status = 429
    code = "rate_limit_exceeded"


class ModelError(LocalAssistError):
    """A model could not be found, loaded or run."""


class ModelNotFound(ModelError):
    """No manifest and no alias has this name."""

    type = "invalid_request_error"
    status = 404
    code = "model_not_found"


class ModelFileRejected(ModelError):
    """A model file is missing, truncated, not a GGUF, or has the wrong hash."""


class DownloadFailed(ModelError):
    """A model could not be fetched from where the user said; what has come of it is kept."""


class ModelLoadFailed(ModelError):
    """llama.cpp or the embedder refused the file, it exceeds the memory for models, or a model
    server cannot be used."""


class GenerationFailed(ModelError):
    """The engine broke while generating this request."""


class GrammarRejected(ModelError):
    """A schema or grammar cannot be compiled or guaranteed; nothing was generated."""

    type = "invalid_request_error"
    status = 400
    code = "invalid_schema"


class PromptRejected(ModelError):
    """The conversation cannot be given to this model (too long, images without vision)."""

    type = "invalid_request_error"
    status = 400
    code = "invalid_prompt"


class RetrievalError(LocalAssistError):
    """A document cannot be made searchable, or the search itself does not work."""


class UnsupportedFile(RetrievalError):
    """A kind of file that has no parser."""

    code = "unsupported_file"


class UnreadableFile(RetrievalError):
    """Damaged, encrypted, empty, without text, or more than the parser's limits allow."""

    code = "invalid_file"


class IndexUnavailable(RetrievalError):
    """An index cannot be opened or written; it is made anew from what it was built of."""


class SandboxError(LocalAssistError):
    """Code cannot be run."""


class SandboxUnavailable(SandboxError):
    """No isolation works on this machine, or kernels have no environment yet; the message says what
    to do."""


class KernelStartFailed(SandboxError):
    """The isolation works, but this kernel did not come up."""


class CapacityError(LocalAssistError):
    """Not now; the caller may try again."""

    status = 503


class Overloaded(CapacityError):
    """More requests wait than may wait."""


class ShuttingDown(CapacityError):
    """The service is closing."""


class StorageError(LocalAssistError):
    """The data folder or database failed."""


class StorageUnavailable(StorageError):
    """Disk full, folder not writable, database locked or unreachable."""


class StorageCorrupt(StorageError):
    """Stored data does not match its checksum or schema."""


class BundleError(LocalAssistError):
    """A bundle cannot be made, was changed or cut short, or does not fit this machine."""


class LeaseLost(LocalAssistError):
    """Another process has taken over the run; stop writing at once."""
