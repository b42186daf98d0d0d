"""Are the models there, are they the right ones, and is there memory for them?"""

from __future__ import annotations

from collections.abc import Iterator

from localassist.engine.footprint import MIB, memory_budget
from localassist.engine.machine import free_memory_bytes, machine_memory_bytes
from localassist.errors import ModelFileRejected
from localassist.registry.catalog import Catalog
from localassist.registry.given import check_embedder
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.registry.parts import part_paths
from localassist.registry.weights import check_readable_file, find_weights
from localassist.services.checkup.finding import Configuration, Finding, size
from localassist.services.model_memory import fitted

_REMEDY = "localassist models list shows all; localassist models default NAME chooses another"


def models(settings: Configuration) -> Iterator[Finding]:
    catalog = Catalog(settings.home, settings.models)
    defaults = [catalog.default("chat"), catalog.default("embedding")]
    known = catalog.list()
    bad = [(one, why) for one in known if (why := _why_not(one)) is not None]
    if bad:
        is_needed = any(one.id == default.id for one, _ in bad for default in defaults)
        says = tuple(f"{one.id}: {why}" for one, why in bad)
        yield Finding("models", "failed" if is_needed else "warning", says, _REMEDY)
        return
    chat, embedder = (one.id for one in defaults)
    here = [one for one in known if not isinstance(one.source, ServerSource)]
    fresh = [one.id for one in here if not catalog.is_verified(one)]
    hashed = "All weights are there, and their checksums are right."
    if fresh:
        hashed = f"All weights are there; not hashed yet: {', '.join(fresh)}. The first load does."
    far = [f"{one.id} at {one.source.url}" for one in known if isinstance(one.source, ServerSource)]
    elsewhere = (f"On servers, which were not asked: {', '.join(far)}.",) if far else ()
    says = (f"{chat} answers, {embedder} embeds; {len(known)} in all.", hashed, *elsewhere)
    yield Finding("models", "ok", says)


def _why_not(manifest: ModelManifest) -> str | None:
    """What is wrong with a model's files as far as can be told without reading its weights."""
    if isinstance(manifest.source, ServerSource):
        return None
    try:
        path = find_weights(manifest)
        size_bytes = sum(map(check_readable_file, part_paths(path)))
        if manifest.kind == "embedding":
            check_embedder(path.parent)
    except ModelFileRejected as error:
        return error.message
    if size_bytes != manifest.size_bytes:
        return f"{path} has {size_bytes:,} bytes instead of {manifest.size_bytes:,}."
    return None


def memory(settings: Configuration) -> Iterator[Finding]:
    manifest = Catalog(settings.home, settings.models).default("chat")
    total, free = machine_memory_bytes(), free_memory_bytes()
    if total is not None and free is not None:
        free = min(free, total)
        there = f"{size(free)} of {size(total)} are free."
    else:
        there = "The system does not say how much there is."
    if isinstance(manifest.source, ServerSource):
        yield Finding("memory", "ok", (f"{manifest.id} is computed elsewhere.", there))
        return
    sized, needed = fitted(manifest, settings.engine, free)
    needs = (
        f"{manifest.id} takes about {size(needed)} with {sized.context_tokens:,} tokens of context."
    )
    budget = memory_budget(settings.engine)
    if not budget.is_derived and budget.size_bytes is not None and needed > budget.size_bytes:
        limit = f"engine.memory_budget_mb allows {budget.size_bytes // MIB:,} MiB: it cannot load."
        fix = "Raise engine.memory_budget_mb, or choose a smaller model."
        yield Finding("memory", "failed", (limit, needs, there), fix)
    elif total is not None and needed > total:
        fix = (
            "localassist models default NAME chooses a smaller one; or lower engine.context_tokens."
        )
        yield Finding("memory", "failed", (needs, there), fix)
    elif free is not None and needed > free:
        fix = "Close other programs, or lower engine.context_tokens."
        yield Finding("memory", "warning", (needs, there), fix)
    else:
        yield Finding("memory", "ok", (needs, there))
