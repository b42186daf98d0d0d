"""Models as requests name them: listed, checked, and loaded with everything a turn needs.

The catalog, the engine pool and the embedder are handed over by the runtime; this module joins an
engine with its chat template, its tool-call format and the small-model caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from localassist.chat.formats import (
    PLAIN,
    ToolCallFormat,
    ToolChoice,
    control_tokens_of,
    detect,
)
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import SamplingParams
from localassist.engine.request import Engine
from localassist.errors import InvalidRequest, LocalAssistError, ModelNotFound
from localassist.observability import spans
from localassist.observability.timeline import EMBEDDING, MODEL
from localassist.registry.catalog import Catalog
from localassist.registry.config import ToolMode
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import Embedder
from localassist.schemas.base import Page
from localassist.schemas.models import Model
from localassist.services.measured_engine import MeasuredEngine
from localassist.tools.grammar import Validate

if TYPE_CHECKING:
    from localassist.tools.code_interpreter import Coder
    from localassist.tools.guided import GuidedCaller

_log = logging.getLogger(__name__)

LeaseEngine = Callable[[ModelManifest], AbstractAsyncContextManager[Engine]]
"""The engine of a model, which stays loaded until the end of the block."""

HasRoom = Callable[[ModelManifest], Awaitable[bool]]
"""Whether that needs no other model to be closed."""

LoadEmbedder = Callable[[ModelManifest], Awaitable[Embedder]]


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A loaded chat model, ready for turns. ``guided`` is set for models that are led through
    tool calls instead of writing them, and ``coder`` leads the same through writing code. The
    manifest's tool mode is settled, never ``auto``."""

    manifest: ModelManifest
    engine: Engine
    prompts: PromptBuilder
    tool_format: ToolCallFormat
    guided: GuidedCaller | None
    coder: Coder | None = None

    def sampling(self, temperature: float | None, top_p: float | None) -> SamplingParams:
        """The model's own defaults, with what the request sets."""
        fields = dict(self.manifest.sampling)
        if temperature is not None:
            fields["temperature"] = temperature
        if top_p is not None:
            fields["top_p"] = top_p
        return SamplingParams(**fields)  # type: ignore[arg-type]  # the manifest has checked them

    @property
    def quoting(self) -> Literal["first", "grounded", "free"]:
        """How it answers from documents: by quotations that are chosen for it, freely with
        quotations held to the documents, or freely. Unset, only models that write calls write."""
        chosen = self.manifest.quoting
        if chosen == "auto":
            return "grounded" if self.manifest.tool_mode == "native" else "first"
        return chosen

    def writes_calls(self, choice: ToolChoice) -> bool:
        """Whether it writes the calls of such a turn itself, so that its prompt shows the tools.
        One of mode ``none`` is only ever told to call, never asked whether to."""
        if self.guided is not None:
            return False
        return choice.demands_call or self.manifest.tool_mode != "none"


class ToolModes(Protocol):
    """How models of tool mode ``auto`` are dealt with; see ``tool_mode``."""

    async def known(
        self, manifest: ModelManifest, engine: Engine, template: ChatTemplate
    ) -> ToolMode:
        """The mode, as far as it can be told without asking the model."""
        ...

    async def settle(self, native: ChatModel, template: ChatTemplate) -> ToolMode:
        """The mode, found out with ``native``, the model as one that writes calls itself."""
        ...


class Models:
    """``/models``, and the one way to a loaded model."""

    def __init__(
        self,
        catalog: Catalog,
        lease_engine: LeaseEngine,
        has_room: HasRoom,
        load_embedder: LoadEmbedder,
        validate: Validate,
        tool_modes: ToolModes,
    ) -> None:
        self._tool_modes = tool_modes
        self._catalog = catalog
        self._lease_engine = lease_engine
        self._has_room = has_room
        self._load_embedder = load_embedder
        self._templates: dict[str, tuple[object, ChatTemplate]] = {}
        self._preparing: set[asyncio.Task[None]] = set()
        self.validate = validate

    async def list(self) -> Page[Model]:
        found = await asyncio.to_thread(self._catalog.list)
        return Page.of([_wire(manifest.id) for manifest in found])

    async def retrieve(self, name: str) -> Model:
        """A model by id or alias, under the name it was asked for. Raises ModelNotFound."""
        manifest = await asyncio.to_thread(self._catalog.find, name)
        if manifest is None:
            raise ModelNotFound(f"The model '{name}' does not exist", param="model")
        return _wire(name)

    async def check_chat(self, name: str) -> None:
        """That assistants and runs may name this model. Raises ModelNotFound or InvalidRequest with
        status 400 and the hosted wording."""
        manifest = await asyncio.to_thread(self._catalog.find, name)
        if manifest is None:
            found = await asyncio.to_thread(self._catalog.list)
            known = ", ".join(m.id for m in found if m.kind == "chat")
            raise InvalidRequest(
                f"The requested model '{name}' does not exist. Available models: {known}.",
                param="model",
                code="model_not_found",
            )
        if manifest.kind != "chat":
            raise InvalidRequest(
                f"The requested model '{name}' cannot be used with the Assistants API.",
                param="model",
                code="unsupported_model",
            )

    @asynccontextmanager
    async def chat(self, name: str, *, calls_functions: bool = False) -> AsyncIterator[ChatModel]:
        """The chat model that ``name`` means, loaded until the end of the block, which is one turn:
        between turns it may make room for another. ``calls_functions``: this turn has tools, so how
        the model calls them must be found out if that is open. Raises ModelNotFound,
        ModelFileRejected or ModelLoadFailed."""
        manifest = await asyncio.to_thread(self._catalog.resolve, name, "chat")
        async with AsyncExitStack() as stack:
            with spans.measured(MODEL, model=manifest.id):
                engine = await stack.enter_async_context(self._lease_engine(manifest))
                template = self._template(manifest, engine)
                mode = manifest.tool_mode
                if mode == "auto" and calls_functions:
                    native = await self._assembled(manifest, engine, template, "native")
                    mode = await self._tool_modes.settle(native, template)
                elif mode == "auto":
                    mode = await self._tool_modes.known(manifest, engine, template)
                measured = MeasuredEngine(engine)
                model = await self._assembled(manifest, measured, template, mode)
            yield model

    def prepare_default(self) -> None:
        """Begin to load the model that stands in for hosted ones. What fails is a warning in the
        log, for nobody waits for it yet."""
        self._begin(self._catalog.default("chat").id, False, logging.WARNING)

    def prepare(self, name: str, *, calls_functions: bool = False) -> None:
        """Begin to load what a run on this model will need, unless another model would have to go
        for it. The run itself reports what fails."""
        self._begin(name, calls_functions, logging.INFO)

    async def close(self) -> None:
        """Let go of what is still being prepared."""
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)

    async def embedder(self, name: str) -> Embedder:
        """The embedding model that ``name`` means, loaded."""
        manifest = await asyncio.to_thread(self._catalog.resolve, name, "embedding")
        return await self._load_embedder(manifest)

    def _begin(self, name: str, calls_functions: bool, log_level: int) -> None:
        task = asyncio.create_task(self._prepare(name, calls_functions, log_level))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _prepare(self, name: str, calls_functions: bool, log_level: int) -> None:
        try:
            manifest = await asyncio.to_thread(self._catalog.resolve, name, "chat")
            if not await self._has_room(manifest):
                return
            async with self.chat(name, calls_functions=calls_functions) as model:
                if calls_functions and model.guided is not None:
                    await self._similarity(["ready"])
        except LocalAssistError as error:
            _log.log(log_level, "%s cannot be prepared: %s", name, error.message)

    async def _similarity(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        with spans.measured(EMBEDDING):
            manifest = await asyncio.to_thread(self._catalog.default, "embedding")
            embedder = await self._load_embedder(manifest)
            vectors: list[list[float]] = (await embedder.embed(texts)).tolist()
            return vectors

    async def _assembled(
        self, manifest: ModelManifest, engine: Engine, template: ChatTemplate, mode: ToolMode
    ) -> ChatModel:
        # Finding out a template's form takes a while, and servers are asked for tokens.
        return await asyncio.to_thread(self._assemble, manifest, engine, template, mode)

    def _assemble(
        self, manifest: ModelManifest, engine: Engine, template: ChatTemplate, mode: ToolMode
    ) -> ChatModel:
        manifest = manifest.model_copy(update={"tool_mode": mode})
        tool_format: ToolCallFormat = PLAIN
        if mode != "guided":
            tool_format = detect(template, control_tokens_of(engine.tokenize))
        prompts = PromptBuilder(engine, template, tool_format, manifest.id, manifest.system_prompt)
        guided = coder = None
        if manifest.tool_mode == "guided":
            from localassist.tools.code_interpreter import Coder
            from localassist.tools.guided import GuidedCaller

            guided = GuidedCaller(engine, prompts, self._similarity)
            coder = Coder(engine, prompts, self._similarity)
        return ChatModel(manifest, engine, prompts, tool_format, guided, coder)

    def _template(self, manifest: ModelManifest, engine: Engine) -> ChatTemplate:
        """Made once per model, because finding out what a template can express takes a while. Knows
        the engine's words but not the engine, which may be gone by the next turn."""
        origin = (manifest.chat_template or engine.chat_template, engine.special_tokens)
        known = self._templates.get(manifest.id)
        if known is None or known[0] != origin:
            known = self._templates[manifest.id] = (origin, ChatTemplate(*origin))
        return known[1]


def _wire(name: str) -> Model:
    return Model(id=name, created=0, owned_by="localassist")
