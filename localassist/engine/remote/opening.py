"""From an address to an engine: which kind of server listens, and whether it can be used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from localassist.engine.remote.dialect import Dialect
from localassist.engine.remote.engine import ServerEngine
from localassist.engine.remote.guard import CheckValue
from localassist.engine.remote.listing import MODELS_PATH, find_card
from localassist.engine.remote.llama_server import LlamaServer
from localassist.engine.remote.vllm import Vllm
from localassist.engine.remote.wire import ServerAddress, Wire
from localassist.errors import GenerationFailed, ModelLoadFailed

# By what a server says in its list of models under ``owned_by``.
DIALECTS: dict[str, type[Dialect]] = {"llamacpp": LlamaServer, "vllm": Vllm}

_KNOWN = "localassist can use llama-server (llama.cpp) and vLLM"
_UNUSABLE = {
    "me": "This looks like the server of llama-cpp-python. It takes prompts only as text and "
    f"reads control tokens in them, so a message could forge a turn; {_KNOWN}."
}


def connect(
    address: ServerAddress,
    model_id: str,
    check_value: CheckValue,
    *,
    context_length: int | None = None,
) -> ServerEngine:
    """Ask a server what it is, try out what it can do, and make an engine of it. Blocks.

    ``context_length`` may only shorten what the server offers. Raises ModelLoadFailed, and
    CapacityError while the server is loading.
    """
    wire = Wire(address)
    try:
        card = find_card(wire.get(MODELS_PATH), address.model)
        dialect = _dialect(wire, card)
        facts = dialect.facts()
    except ModelLoadFailed:
        wire.close()
        raise
    except GenerationFailed as error:
        wire.close()
        raise ModelLoadFailed(error.message) from error
    except BaseException:
        wire.close()
        raise
    if context_length is not None:
        facts = replace(facts, context_length=min(facts.context_length, context_length))
    return ServerEngine(model_id, wire, dialect, facts, card, check_value)


def _dialect(wire: Wire, card: dict[str, Any]) -> Dialect:
    owner = str(card.get("owned_by"))
    if owner not in DIALECTS:
        raise ModelLoadFailed(
            _UNUSABLE.get(owner, f"The server is of a kind that is not known; {_KNOWN}.")
        )
    return DIALECTS[owner](wire, card)
