"""Models that another server computes: llama-server and vLLM behind the ``Engine`` protocol."""

from localassist.engine.remote.engine import ServerEngine
from localassist.engine.remote.opening import DIALECTS, connect
from localassist.engine.remote.wire import ServerAddress

__all__ = ["DIALECTS", "ServerAddress", "ServerEngine", "connect"]
