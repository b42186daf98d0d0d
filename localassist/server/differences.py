"""What becomes of endpoints and parameters that are not as at the hosted API, as data.

Everything that is not named here is as published, or unknown to us. ``tests/conformance/
test_parameters.py`` sends every parameter; what is said to be accepted must be, and what is said to
be refused must be refused that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["yes", "differs", "no", "ours"]
ALL = ("*",)


@dataclass(frozen=True)
class Difference:
    """A sentence about parameters of endpoints; the parameter ``""`` is the endpoint itself. Where
    the status is ``no`` the sentence begins with the refusal: status and code."""

    endpoints: tuple[str, ...]
    parameters: tuple[str, ...]
    note: str
    status: Status = "differs"


def _endpoint(name: str, note: str) -> Difference:
    return Difference((name,), ("",), note)


_THREAD = "/threads/{thread_id}"
_RUN = _THREAD + "/runs/{run_id}"
_STORE = "/vector_stores/{vector_store_id}"
_ASSISTANTS = ("POST /assistants", "POST /assistants/{assistant_id}")
_RUNS = (f"POST {_THREAD}/runs", "POST /threads/runs")
_CHAT = ("POST /chat/completions",)
_GENERATING = _ASSISTANTS + _RUNS + _CHAT
_MESSAGES = (f"POST {_THREAD}/messages",)
_SEARCH = (f"POST {_STORE}/search", f"POST {_STORE}/search/explain")
_PARTS = ("content[].type", "content[].image_file", "content[].image_url")
_UNSUPPORTED = "400 `unsupported_parameter`"

DIFFERENCES = (
    # --- endpoints ----------------------------------------------------------------------------
    _endpoint("GET /threads", "the threads of the caller's project, newest first, as other lists"),
    _endpoint(f"DELETE {_THREAD}", "stops a run that is active on it"),
    _endpoint(
        f"POST {_THREAD}/runs",
        "[runs](compatibility.md#runs) and [streams](compatibility.md#streams)",
    ),
    _endpoint(
        "POST /threads/runs",
        "[runs](compatibility.md#runs) and [streams](compatibility.md#streams)",
    ),
    _endpoint(f"GET {_THREAD}/runs", "[extra fields](compatibility.md#extra-fields)"),
    _endpoint(f"GET {_RUN}", "[extra fields](compatibility.md#extra-fields)"),
    _endpoint(f"POST {_RUN}/submit_tool_outputs", "[streams](compatibility.md#streams)"),
    _endpoint(f"GET {_RUN}/stream", "[attaches to a run again](compatibility.md#streams)"),
    _endpoint(f"GET {_RUN}/steps", "[extra fields](compatibility.md#extra-fields)"),
    _endpoint(f"GET {_RUN}/steps/{{step_id}}", "[extra fields](compatibility.md#extra-fields)"),
    _endpoint(
        "POST /files",
        "no limit on the total size of files",
    ),
    _endpoint("GET /files/{file_id}", "`status` is `processed` at once"),
    _endpoint("GET /files/{file_id}/content", "files of every purpose can be downloaded"),
    _endpoint("POST /uploads/{upload_id}/complete", "parts that are not named are dropped"),
    _endpoint("POST /vector_stores", "[vector stores](compatibility.md#vector-stores)"),
    _endpoint(f"POST {_STORE}/search", "[searches](compatibility.md#searches)"),
    _endpoint(
        f"POST {_STORE}/search/explain",
        "[what a search is made of](compatibility.md#explaining-a-search)",
    ),
    _endpoint(
        f"POST {_STORE}/files",
        "[kinds of files](compatibility.md#vector-stores); one that is already there is returned",
    ),
    _endpoint(f"GET {_STORE}/files/{{file_id}}/content", "one entry with the whole text"),
    _endpoint(
        "POST /assistants/{assistant_id}/files",
        "[files of version 1](compatibility.md#files-of-version-1)",
    ),
    _endpoint(
        "GET /assistants/{assistant_id}/files", "in the order in which the files were uploaded"
    ),
    _endpoint(
        "GET /assistants/{assistant_id}/files/{file_id}",
        "`created_at` is the earliest time at which it can have been added",
    ),
    _endpoint(
        f"GET {_THREAD}/messages/{{message_id}}/files",
        "in the order in which the files were uploaded",
    ),
    _endpoint("GET /models", "lists the local models by their own names; `created` is 0"),
    _endpoint("GET /models/{model}", "knows aliases and hosted names as well"),
    _endpoint(
        "DELETE /models/{model}", "always 403; models are removed on the [command line](cli.md)"
    ),
    _endpoint("POST /chat/completions", "[chat completions](compatibility.md#chat-completions)"),
    _endpoint("POST /embeddings", "[embeddings](compatibility.md#embeddings)"),
    _endpoint(
        "POST /tools/explain",
        "[which function would be called, and why](compatibility.md#explaining-a-decision)",
    ),
    _endpoint(
        "GET /health",
        "outside `/v1`: [the server's state](compatibility.md#health)",
    ),
    _endpoint("GET /metrics", "outside `/v1`: [metrics](metrics.md)"),
    # --- models and sampling ------------------------------------------------------------------
    Difference(
        (*_GENERATING, "POST /embeddings"),
        ("model",),
        "a local model, an alias, or a hosted name, which means the default model",
    ),
    Difference(
        _GENERATING,
        ("temperature", "top_p"),
        "if unset, the model's manifest decides, and 1 is shown",
    ),
    Difference(_GENERATING, ("reasoning_effort",), "has no effect"),
    Difference(
        _ASSISTANTS + _RUNS,
        ("tools",),
        "names of functions must be unique; schemas must be enforceable",
    ),
    Difference(
        _ASSISTANTS + _RUNS, ("tools[].function",), "arguments always fit the schema, strict or not"
    ),
    Difference(
        _ASSISTANTS + _RUNS,
        ("tools[].file_search",),
        "every ranker means the same search by meaning and words",
    ),
    Difference(
        _ASSISTANTS + _RUNS + _CHAT,
        ("response_format",),
        "always enforced; schemas must be enforceable",
    ),
    Difference(
        _RUNS,
        ("tool_choice",),
        "binds the first turn of a run; a built-in tool must be among the tools",
    ),
    Difference(
        _RUNS + _CHAT,
        ("parallel_tool_calls",),
        "guided models call several functions only if the question clearly asks for them",
    ),
    Difference(_RUNS, ("truncation_strategy.type",), "`last_messages` requires the number"),
    Difference(
        _RUNS,
        ("truncation_strategy.last_messages",),
        "does not count messages that the run itself has written",
    ),
    # --- threads and messages -----------------------------------------------------------------
    Difference(("POST /threads",), ("messages",), "any number"),
    Difference(
        _MESSAGES,
        _PARTS,
        "images are stored and returned; a run on such a thread fails with `invalid_prompt`",
    ),
    # --- files and stores ---------------------------------------------------------------------
    Difference(("POST /uploads",), ("purpose",), "also `user_data` and `evals`"),
    Difference(_SEARCH, ("rewrite_query",), "has no effect"),
    Difference(_SEARCH, ("filters",), "values of another type never match"),
    Difference(
        _SEARCH,
        ("filters.type", "filters.value"),
        "`in` and `nin` take an array, the others one value",
    ),
    Difference(
        _SEARCH,
        ("ranking_options", "ranking_options.ranker"),
        "every ranker means the same search by meaning and words",
    ),
    # --- chat completions and embeddings ------------------------------------------------------
    Difference(_CHAT, ("n",), "1 only"),
    Difference(_CHAT, ("messages[].content",), "images, audio and files in it are 400"),
    Difference(_CHAT, ("logit_bias",), "token ids of the local model"),
    Difference(_CHAT, ("messages[].function_call",), f"{_UNSUPPORTED}; use `tool_calls`", "no"),
    Difference(_CHAT, ("messages[].audio",), _UNSUPPORTED, "no"),
    Difference(
        _CHAT,
        ("functions", "function_call"),
        f"{_UNSUPPORTED}; use `tools` and `tool_choice`",
        "no",
    ),
    Difference(_CHAT, ("audio", "prediction", "web_search_options"), _UNSUPPORTED, "no"),
    Difference(_CHAT, ("modalities",), "text only"),
    Difference(_CHAT, ("tools", "tools[].type"), "functions only"),
    Difference(_CHAT, ("tools[].custom", "tool_choice.custom"), _UNSUPPORTED, "no"),
    Difference(_CHAT, ("tool_choice", "tool_choice.type"), "functions only"),
    Difference(
        _CHAT,
        (
            "metadata",
            "moderation",
            "moderation.model",
            "moderation.policy",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_options.mode",
            "prompt_cache_options.ttl",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "stream_options.include_obfuscation",
            "user",
            "verbosity",
        ),
        "has no effect",
    ),
    Difference(("POST /embeddings",), ("input",), "text only; token ids are refused"),
    Difference(("POST /embeddings",), ("dimensions",), "the model's own number only"),
    Difference(("POST /embeddings",), ("user",), "has no effect"),
    # --- ours ---------------------------------------------------------------------------------
    Difference(("GET /files",), ("before",), "as in the other lists"),
    Difference(ALL, ("include",), "`include[]` without brackets"),
    Difference(
        (f"GET {_RUN}/stream",),
        ("starting_after",),
        "the number of the last event that was received",
    ),
    Difference((f"GET {_RUN}/stream",), ("Last-Event-ID",), "the same, as browsers send it"),
    Difference((f"POST {_STORE}",), ("description",), "as on creation"),
    Difference(
        _CHAT,
        ("messages[].parsed", "messages[].annotations"),
        "parts of answers that the SDK's helpers send back; ignored",
    ),
)

HEADERS: dict[str, tuple[Status, str]] = {
    "Authorization": (
        "differs",
        "any key or none, until `server.api_keys` is set or a key is made",
    ),
    "OpenAI-Beta": (
        "differs",
        "`assistants=v1` is version 1, which the hosted API refused at last; else version 2",
    ),
    "OpenAI-Organization": ("differs", "ignored: the key alone decides the project"),
    "OpenAI-Project": ("differs", "ignored"),
    "Idempotency-Key": ("no", "ignored: a repeated POST creates a second object"),
    "Content-Type": ("differs", "ignored, except for forms"),
    "Accept": ("yes", ""),
}
