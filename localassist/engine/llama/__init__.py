"""llama.cpp behind the ``Backend`` protocol; the only package that imports llama_cpp."""

from localassist.engine.llama.backend import LlamaBackend

__all__ = ["LlamaBackend"]
