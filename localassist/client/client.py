"""The official SDK's clients over the in-process transport: the same surface, no port open."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import openai
from openai import APIError as APIError
from openai import NotFoundError as NotFoundError

from localassist.client.host import acquire, prepare, release
from localassist.client.transport import (
    BASE_URL,
    AsyncInProcessTransport,
    InProcessTransport,
    http,
)
from localassist.registry.catalog import Catalog
from localassist.settings import Settings, load_settings

# The SDK insists on a key; the in-process server asks for none.
_FIXED: dict[str, Any] = {"api_key": "in-process", "base_url": BASE_URL}


class LocalAssist(openai.OpenAI):
    """``openai.OpenAI`` whose server runs in this process, on a thread of its own.

    ``home`` is the data folder, ``model`` the name of the model that stands in for hosted ones.
    ``settings`` replaces both. Other arguments go to ``openai.OpenAI``. Close it, or use it as a
    context manager; clients with equal settings share one runtime.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        model: str | None = None,
        settings: Settings | None = None,
        http_client: http.Client | None = None,
        **options: Any,
    ) -> None:
        # The SDK passes http_client when it copies a client (with_options): the copy shares it.
        if http_client is None:
            host = acquire(settings or _settings(home, model))
            http_client = http.Client(
                transport=InProcessTransport(host.app, host.loop, partial(release, host))
            )
        super().__init__(http_client=http_client, **(_FIXED | options))


class AsyncLocalAssist(openai.AsyncOpenAI):
    """``openai.AsyncOpenAI`` over the same in-process server; see ``LocalAssist``."""

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        model: str | None = None,
        settings: Settings | None = None,
        http_client: http.AsyncClient | None = None,
        **options: Any,
    ) -> None:
        if http_client is None:
            host = acquire(settings or _settings(home, model))
            http_client = http.AsyncClient(
                transport=AsyncInProcessTransport(host.app, host.loop, partial(release, host))
            )
        super().__init__(http_client=http_client, **(_FIXED | options))


def explain(error: APIError) -> str:
    """The server's own sentence, without what the SDK puts around it."""
    message = error.body.get("message") if isinstance(error.body, dict) else None
    return message if isinstance(message, str) else error.message


def explain_calls(client: LocalAssist, request: dict[str, Any]) -> dict[str, Any]:
    """What ``POST /tools/explain`` answers to ``request``."""
    answer: Any = client.post("/tools/explain", body=request, cast_to=object)
    return dict(answer)


def explain_search(client: LocalAssist, store_id: str, request: dict[str, Any]) -> dict[str, Any]:
    """What ``POST /vector_stores/{id}/search/explain`` answers to ``request``."""
    answer: Any = client.post(
        f"/vector_stores/{store_id}/search/explain", body=request, cast_to=object
    )
    return dict(answer)


def loading(client: LocalAssist) -> dict[str, float]:
    """The models that are being loaded at the moment, with the loaded part of each, 0 to 1."""
    models = health(client)["models"]
    return {model["id"]: model["progress"] for model in models if model["state"] == "loading"}


def make_ready(client: LocalAssist, settings: Settings, model: str) -> None:
    """Begin to load what the first answer will need, while a person types: the model, and the parts
    of the SDK that are about threads. Returns at once; what fails is said with the answer."""

    def load() -> None:
        with suppress(RuntimeError):  # closed meanwhile
            prepare(settings, model)
        _ = client.beta.threads.runs

    threading.Thread(target=load, name="make-ready", daemon=True).start()


def health(client: openai.OpenAI) -> dict[str, Any]:
    """What ``GET /health`` of the client's server answers within a second, or its error."""
    impatient = client.with_options(max_retries=0, timeout=1.0)
    root = str(client.base_url).rstrip("/").removesuffix("/v1")
    answer: Any = impatient.get(f"{root}/health", cast_to=object)
    return dict(answer)


def _settings(home: str | Path | None, model: str | None) -> Settings:
    """Raises ConfigError, and ModelNotFound for a ``model`` that nobody knows."""
    settings = load_settings(home=None if home is None else Path(home))
    if model is None:
        return settings
    found = Catalog(settings.home, settings.models).resolve(model, "chat")
    models = settings.models.model_copy(update={"default_chat": found.id})
    return settings.model_copy(update={"models": models})
