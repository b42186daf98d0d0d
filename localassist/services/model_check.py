"""Whether a model does on this machine what it should: files, template, end, functions, speed and
memory. What is found is judged here; ``model_trial`` finds it, in a child process.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from localassist.child import Outcome, run_child
from localassist.disk import size
from localassist.engine.config import EngineSettings
from localassist.errors import ModelFileRejected
from localassist.registry.catalog import Catalog
from localassist.registry.config import ModelsSettings
from localassist.registry.describe import remarks
from localassist.registry.gguf import read_header
from localassist.registry.given import check_embedder
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.registry.weights import Progress, find_weights

Verdict = Literal["ok", "warn", "fail"]

_STEPS = {
    "load": "loading it",
    "template": "writing a conversation in its form",
    "answer": "answering",
    "speed": "measuring its speed",
    "tools": "finding out how it calls functions",
    "embed": "embedding",
}
_TRIAL_SECONDS = 1800.0
_TOLERANCE = 1.25  # what is taken may be so many times what was estimated
_SLACK_BYTES = 400 * 2**20  # compute buffers and libraries, which are not estimated
_SLOW_DECODE = 3.0  # tokens a second, about as fast as people read aloud
_LEAST_TOKENS = 2048  # of context, below which conversations are of no use
_CONTROL = ("<|", "|>", "[/INST]", "<end_of_turn>", "</s>")


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one thing, for people; ``fix`` is what to do about it, ``figures``
    the same for programs."""

    name: str
    verdict: Verdict
    says: str
    fix: str | None = None
    figures: Mapping[str, Any] | None = None


def check_model(
    catalog: Catalog,
    manifest: ModelManifest,
    *,
    home: str,
    models: ModelsSettings,
    engine: EngineSettings,
    embedder_backend: str,
    progress: Progress | None = None,
) -> Iterator[Check]:
    """One finding after the other. Takes from seconds to minutes, for the weights are hashed and
    the model is loaded. Blocks; when it is interrupted the child process is ended."""
    if not isinstance(manifest.source, ServerSource):
        files = _check_files(catalog, manifest, progress)
        yield files
        if files.verdict == "fail":
            return
        yield from _check_header(manifest)
    request = {
        "kind": manifest.kind,
        "name": manifest.id,
        "home": home,
        "models": models.model_dump(mode="json"),
        "engine": engine.model_dump(mode="json"),
        "embedder_backend": embedder_backend,
    }
    outcome = run_child("localassist.services.model_trial", request, timeout_seconds=_TRIAL_SECONDS)
    facts: dict[str, Any] = {}
    for line in outcome.lines:
        facts.update(line)
    yield from _judged(manifest, facts)
    if (broken := _broken(outcome, facts)) is not None:
        yield broken


def _check_files(catalog: Catalog, manifest: ModelManifest, progress: Progress | None) -> Check:
    try:
        catalog.verify(manifest, progress)
        if manifest.kind == "embedding":
            check_embedder(find_weights(manifest).parent)
    except ModelFileRejected as error:
        return Check("files", "fail", error.message)
    says = f"{size(manifest.size_bytes)}, as they were added (SHA-256 {manifest.sha256[:12]}…)."
    return Check("files", "ok", says, figures={"sha256": manifest.sha256})


def _check_header(manifest: ModelManifest) -> Iterator[Check]:
    if manifest.kind == "chat":
        for remark in remarks(read_header(find_weights(manifest)), manifest):
            yield Check("header", "warn", remark)


def _judged(manifest: ModelManifest, facts: Mapping[str, Any]) -> Iterator[Check]:
    if manifest.kind == "embedding":
        yield from _judged_embedder(manifest, facts)
        return
    judges = {
        "template": _template,
        "is_end": _end,
        "prefill": _speed,
        "tool_mode": _tools,
        "kv_bytes": _memory,
        "cells": _context,
    }
    for key, judge in judges.items():
        if key in facts:
            yield judge(facts)
    if facts.get("fitting_cells", 0) < facts.get("cells", 0):
        yield _crowded(manifest, facts)


def _template(facts: Mapping[str, Any]) -> Check:
    whose = {"manifest": "that of its manifest", "model": "its own"}.get(facts["template"])
    shows = [name for name in ("system", "tools") if facts[name]]
    lacks = [name for name in ("system", "tools") if not facts[name]]
    figures = {key: facts[key] for key in ("template", "system", "tools")}
    if whose is None:
        return Check(
            "template",
            "warn",
            "It brings no chat template and is asked in the form of ChatML, which it may not know.",
            "Take its Instruct edition, or set chat_template: localassist models set NAME "
            "chat_template=@FILE.",
            figures,
        )
    says = f"{whose} renders; shows {' and '.join(shows) or 'messages only'}"
    if lacks:
        says += f", not {' or '.join(lacks)}, which are written into messages instead"
    return Check("template", "ok", f"{says}.", figures=figures)


def _end(facts: Mapping[str, Any]) -> Check:
    answer, reason = str(facts.get("answer", "")), facts.get("reason")
    figures = {"closing": facts["closing"], "is_end": facts["is_end"], "reason": reason}
    leaked = next((mark for mark in _CONTROL if mark in answer), None)
    fix = "Its file may be an old conversion; get a current one, or set chat_template."
    if leaked is not None:
        says = f"Its answer shows {leaked!r}, which should have been a control token."
        return Check("end", "warn", says, fix, figures)
    if facts["is_end"] is False:
        says = f"Its template closes answers with {facts['closing']!r}, which does not end them."
        return Check("end", "warn" if reason == "stop" else "fail", says, fix, figures)
    if reason != "stop":
        says = "It did not come to an end where one sentence was wanted."
        return Check("end", "warn", says, "A penalty may help: repeat_penalty=1.1.", figures)
    return Check("end", "ok", f"It ends its answers ({facts['closing']!r}).", figures=figures)


def _speed(facts: Mapping[str, Any]) -> Check:
    prefill, decode = facts["prefill"], facts["decode"]
    figures = {"prefill_tokens_per_second": prefill, "decode_tokens_per_second": decode}
    says = f"reads {prefill:,.0f} tokens a second ({facts['read_tokens']} at once)"
    if decode is None:
        return Check("speed", "ok", f"{says}; it wrote too little to be timed.", figures=figures)
    says += f", writes {decode:,.1f}."
    if not facts["was_quiet"]:
        says += " Other programs kept the processor busy meanwhile."
    if decode >= _SLOW_DECODE:
        return Check("speed", "ok", says, figures=figures)
    fix = "A smaller model or a smaller quantization is faster: localassist models recommend."
    return Check("speed", "warn", f"{says} That is slower than people read.", fix, figures)


def _tools(facts: Mapping[str, Any]) -> Check:
    mode, found = facts["tool_mode"], facts["found"]
    how = {
        "native": "it writes calls itself",
        "guided": "it is led through calls",
        "none": "it is not told of functions",
    }
    says = f"{mode}: {how[mode]}{f' ({found})' if found else ''}."
    return Check("functions", "ok", says, figures={"tool_mode": mode, "found": found})


def _memory(facts: Mapping[str, Any]) -> Check:
    estimate = facts["weights_bytes"] + facts["kv_bytes"]
    taken, snapshots = facts.get("taken_bytes"), facts["snapshot_bytes"]
    figures = {
        "weights_bytes": facts["weights_bytes"],
        "kv_bytes": facts["kv_bytes"],
        "snapshot_bytes": snapshots,
        "taken_bytes": taken,
    }
    says = (
        f"{size(estimate)} were estimated ({size(facts['weights_bytes'])} weights, "
        f"{size(facts['kv_bytes'])} for {facts['cells']:,} tokens)"
    )
    if taken is not None:
        says = f"{size(taken)} are taken; {says}"
    says += f"; saved conversations may take {size(snapshots)} more."
    if taken is None or taken <= estimate * _TOLERANCE + _SLACK_BYTES:
        return Check("memory", "ok", says, figures=figures)
    fix = "Set engine.memory_budget_mb with room to spare, so that models are closed in time."
    return Check("memory", "warn", says, fix, figures)


def _context(facts: Mapping[str, Any]) -> Check:
    cells, most = facts["cells"], facts["most_cells"]
    figures = {"tokens": cells, "tokens_on_idle_machine": most}
    context = facts.get("context", cells)
    says = f"{cells:,} tokens fit now, which all conversations share; one may have {context:,}."
    if most <= cells:
        return Check("context", "ok", says, figures=figures)
    says += f" With all memory free it would be {most:,}."
    fix = "Close other programs, or set engine.cache_type_k and cache_type_v to q8_0."
    return Check("context", "warn", says, fix, figures)


def _crowded(manifest: ModelManifest, facts: Mapping[str, Any]) -> Check:
    """Weights, context and saved conversations are more than this machine has for models."""
    fitting = facts["fitting_cells"]
    says = "Weights, context and saved conversations together exceed the memory for models"
    figures = {"fitting_tokens": fitting}
    if fitting < _LEAST_TOKENS:
        fix = "Choose a smaller model: localassist models recommend."
        return Check("room", "fail", f"{says}, whatever the context.", fix, figures)
    fix = f"localassist models set {manifest.id} context_length={fitting}"
    return Check("room", "warn", f"{says}; {fitting:,} tokens would fit.", fix, figures)


def _judged_embedder(manifest: ModelManifest, facts: Mapping[str, Any]) -> Iterator[Check]:
    if "dimensions" in facts:
        wanted, found = manifest.dimensions, facts["dimensions"]
        figures = {"dimensions": found}
        if wanted not in (None, found):
            says = f"It makes {found} numbers of a text; its manifest says {wanted}."
            fix = "Correct dimensions in the manifest: localassist models edit NAME."
            yield Check("vectors", "fail", says, fix, figures)
        else:
            yield Check("vectors", "ok", f"{found} numbers for a text.", figures=figures)
    if "alike" in facts:
        yield _sense(facts)
    if "texts" in facts:
        says = f"{facts['texts']:,.0f} short texts a second, {facts['window']} tokens each at most"
        if facts["taken_bytes"] is not None:
            says += f"; {size(facts['taken_bytes'])} of memory"
        figures = {"texts_per_second": facts["texts"], "taken_bytes": facts["taken_bytes"]}
        yield Check("speed", "ok", f"{says}.", figures=figures)


def _sense(facts: Mapping[str, Any]) -> Check:
    """Whether vectors mean anything: alike for texts that mean the same, and the same again."""
    alike, other = facts["alike"], facts["other"]
    figures = {"alike": alike, "other": other, "again": facts["again"]}
    if abs(facts["length"] - 1) > 1e-3 or facts["again"] < 0.999:
        says = "The same text has other vectors the second time, or none of length 1."
        return Check("meaning", "fail", says, "Its files may be damaged; get it anew.", figures)
    says = f"similarity {alike:.2f} for texts that mean the same, {other:.2f} for others."
    if alike > other + 0.1:
        return Check("meaning", "ok", says, figures=figures)
    fix = "It may be no embedding model, or made for other texts than English ones."
    return Check("meaning", "fail" if alike <= other else "warn", says, fix, figures)


def _broken(outcome: Outcome, facts: Mapping[str, Any]) -> Check | None:
    """What the trial ended with, unless it ended well."""
    if "failed" in facts:
        # A header that cannot be read is tried twice.
        reasons = "; ".join(dict.fromkeys(facts.get("reasons") or ()))
        says = facts["failed"] + (f" It says: {reasons}." if reasons else "")
        return Check("trial", "fail", says, _advice(reasons))
    if outcome.ended_well:
        return None
    doing = _STEPS.get(str(facts.get("step")), "starting")
    if outcome.exit_code is None:
        minutes = _TRIAL_SECONDS / 60
        return Check("trial", "fail", f"After {minutes:.0f} minutes it was still {doing}.")
    if outcome.exit_code == -signal.SIGKILL:
        says = f"The process was killed while {doing}, most likely for want of memory."
        return Check("trial", "fail", says, "Choose a smaller model or engine.context_tokens.")
    says = f"The process died while {doing} (exit code {outcome.exit_code})."
    return Check("trial", "fail", says, "The file may be damaged or of an unknown kind.")


def _advice(reasons: str) -> str | None:
    if "unknown model architecture" in reasons:
        return "Update llama-cpp-python; this one is older than the model."
    return None
