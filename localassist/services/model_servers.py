"""Models that another server computes: added to the catalog, and opened as engines."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pydantic import ValidationError

from localassist.chat.template import ChatTemplate
from localassist.engine.remote import ServerAddress, ServerEngine, connect
from localassist.errors import ConfigError, ModelLoadFailed, PromptRejected
from localassist.registry.catalog import Catalog
from localassist.registry.config import ToolMode
from localassist.registry.describe import check_tool_mode, describe_server
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.services.tool_mode import possible_modes
from localassist.tools.schema import value_problem


@dataclass(frozen=True, slots=True)
class AddedServer:
    """A model that is known now, and a line about its server for people."""

    manifest: ModelManifest
    summary: str


def open_server_engine(manifest: ModelManifest) -> ServerEngine:
    """The engine of a manifest with a server for its source. Blocks on the network.

    Raises ModelLoadFailed when the server is not there, is of another kind, or cannot do what the
    manifest's tool mode needs; CapacityError while it is loading.
    """
    source = manifest.source
    assert isinstance(source, ServerSource), "the caller has looked"
    engine = connect(
        _address(source), manifest.id, value_problem, context_length=manifest.context_length
    )
    try:
        _check_tool_mode(manifest.tool_mode, engine)
    except ModelLoadFailed:
        engine.disconnect()
        raise
    return engine


def add_server(
    catalog: Catalog,
    url: str,
    *,
    model: str | None = None,
    model_id: str | None = None,
    api_key_env: str | None = None,
    tool_mode: str | None = None,
) -> AddedServer:
    """Make a model of the server at ``url`` known, once it has shown what it can do. Blocks.

    Without a ``tool_mode`` it is found out when first needed, where the server leaves a choice.
    Raises ConfigError and what ``open_server_engine`` raises.
    """
    try:
        source = ServerSource(server=url, model=model, api_key_env=api_key_env)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {said}.") from error
    wanted = None if tool_mode is None else check_tool_mode(tool_mode)
    engine = connect(_address(source), model_id or "model", value_problem)
    try:
        mode = wanted or _open_tool_mode(engine)
        _check_tool_mode(mode, engine)
    finally:
        engine.disconnect()
    manifest = describe_server(source, engine.facts.model, model_id)
    manifest = catalog.add_server(manifest.model_copy(update={"tool_mode": mode}))
    return AddedServer(manifest, _summary(engine, mode))


def _address(source: ServerSource) -> ServerAddress:
    api_key = None
    if source.api_key_env is not None:
        api_key = os.environ.get(source.api_key_env)
        if not api_key:
            raise ModelLoadFailed(
                f"The environment variable {source.api_key_env}, which should hold the key of the "
                f"model server at {source.url}, is not set."
            )
    return ServerAddress(
        source.url, source.model, api_key, source.api_key_env, source.silence_seconds
    )


def _open_tool_mode(engine: ServerEngine) -> ToolMode:
    """``auto`` where there is a choice to find out about."""
    try:
        template = ChatTemplate(engine.chat_template, engine.special_tokens)
    except PromptRejected:  # a template in the manifest may replace it
        return "auto"
    possible = possible_modes(engine, template)
    return "auto" if {"native", "guided"} <= set(possible) else possible[0]


def _check_tool_mode(mode: ToolMode, engine: ServerEngine) -> None:
    if mode == "guided" and not (engine.facts.score and engine.facts.grammar):
        raise ModelLoadFailed(
            f"This {engine.server_kind} cannot lead a model through function calls: that needs "
            "grammars and the probabilities of given tokens. Set tool_mode to native or none."
        )


def _summary(engine: ServerEngine, mode: ToolMode) -> str:
    facts = engine.facts
    forms = "function calls and JSON schemas" if facts.grammar else "JSON schemas"
    kept = f"keeps to {forms}" if facts.grammar or facts.json_schema else "cannot hold to a form"
    return f"{engine.server_kind}, {facts.context_length:,} tokens, {kept}, tool mode {mode}"
