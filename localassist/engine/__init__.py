"""The embedded engine: prompts in, tokens out. Importing this loads no model runtime."""

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
