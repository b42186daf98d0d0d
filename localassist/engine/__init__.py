"""The embedded engine: prompts in, tokens out.

A name is loaded with its first use: whoever reads the settings, which name this package's, needs
none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.engine.config import EngineSettings
    from localassist.engine.engine import LlamaEngine
    from localassist.engine.grammar import validate_grammar
    from localassist.engine.loading import load_engine
    from localassist.engine.pool import EnginePool
    from localassist.engine.request import Engine, Finished, Generate, Piece
    from localassist.engine.scripted import ScriptedEngine

__all__ = [
    "Engine",
    "EnginePool",
    "EngineSettings",
    "Finished",
    "Generate",
    "LlamaEngine",
    "Piece",
    "ScriptedEngine",
    "load_engine",
    "validate_grammar",
]

_HOMES = {
    "Engine": "localassist.engine.request",
    "EnginePool": "localassist.engine.pool",
    "EngineSettings": "localassist.engine.config",
    "Finished": "localassist.engine.request",
    "Generate": "localassist.engine.request",
    "LlamaEngine": "localassist.engine.engine",
    "Piece": "localassist.engine.request",
    "ScriptedEngine": "localassist.engine.scripted",
    "load_engine": "localassist.engine.loading",
    "validate_grammar": "localassist.engine.grammar",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
