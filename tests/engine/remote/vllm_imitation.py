"""Answers as vLLM's documentation and source describe them, over a made-up vocabulary.

This is an imitation: it shows that the dialect speaks what is documented, not that vLLM does.
Tokens are characters, ``<|im_start|>`` and ``<|im_end|>`` are added tokens, and the model always
says ``REPLY`` unless a constraint it knows makes it say something else.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "org/Far-7B"
MAX_MODEL_LEN = 400
REPLY = "Grüße 😀 aus der Ferne."
ADDED = {"<|im_start|>": 0x110000, "<|im_end|>": 0x110001}
END = ADDED["<|im_end|>"]
_TEXTS = {token: text for text, token in ADDED.items()}


def encode(text: str) -> list[int]:
    """As its tokenizer: control tokens are read wherever a text spells them."""
    parts = re.split("(" + "|".join(map(re.escape, ADDED)) + ")", text)
    return [
        token
        for part in parts
        for token in ([ADDED[part]] if part in ADDED else [ord(character) for character in part])
    ]


def decode(tokens: list[int]) -> str:
    return "".join(_TEXTS.get(token) or chr(token) for token in tokens)


class Vllm:
    """The app and what it was asked. ``knows`` are the constraint fields of this release."""

    def __init__(
        self,
        *,
        knows: tuple[str, ...] = ("structured_outputs.json", "structured_outputs.grammar"),
        tells_tokenizer: bool = True,
        tells_token_ids: bool = True,
        tells_logprobs: bool = True,
    ) -> None:
        self.max_model_len = MAX_MODEL_LEN
        self.bodies: list[dict[str, Any]] = []
        self.was_left = threading.Event()
        self.reply = REPLY
        self.chat_template = "{{ messages[0].content }}"
        self.pause_seconds = 0.0
        self.mishap: dict[str, Any] | None = None
        self._knows = knows
        self._tells_token_ids = tells_token_ids
        self._tells_logprobs = tells_logprobs
        routes = [
            Route("/v1/models", self._models),
            Route("/tokenize", self._tokenize, methods=["POST"]),
            Route("/detokenize", self._detokenize, methods=["POST"]),
            Route("/v1/completions", self._complete, methods=["POST"]),
        ]
        if tells_tokenizer:
            routes.append(Route("/tokenizer_info", self._tokenizer_info))
        self.app = Starlette(routes=routes)

    async def _models(self, request: Request) -> Response:
        card = {"id": MODEL, "object": "model", "owned_by": "vllm", "root": MODEL}
        data = [{**card, "max_model_len": self.max_model_len}, {**card, "id": "lora"}]
        return JSONResponse({"object": "list", "data": data})

    async def _tokenizer_info(self, request: Request) -> Response:
        return JSONResponse(
            {
                "tokenizer_class": "Imitation",
                "chat_template": self.chat_template,
                "eos_token": "<|im_end|>",
                "bos_token": {"content": "<|im_start|>"},
                "added_tokens_decoder": {str(token): text for text, token in ADDED.items()},
            }
        )

    async def _tokenize(self, request: Request) -> Response:
        body = await request.json()
        assert body["model"] == MODEL and body["add_special_tokens"] is False
        tokens = encode(body["prompt"])
        return JSONResponse({"count": len(tokens), "max_model_len": 400, "tokens": tokens})

    async def _detokenize(self, request: Request) -> Response:
        return JSONResponse({"prompt": decode((await request.json())["tokens"])})

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        if len(body["prompt"]) + body["max_tokens"] > MAX_MODEL_LEN:
            message = f"This model's maximum context length is {MAX_MODEL_LEN} tokens."
            return self._error(400, message)
        text = self._constrained(body)
        if text is None:
            return self._error(400, "Failed to compile the grammar.")
        tokens = [*encode(text), END][: body["max_tokens"]]
        if body.get("stream"):
            return StreamingResponse(self._events(body, tokens), media_type="text/event-stream")
        choice = self._choice(tokens, "stop" if tokens[-1] == END else "length")
        if "prompt_logprobs" in body and self._tells_logprobs:
            choice["prompt_logprobs"] = [None] + [
                {str(token): {"logprob": -token / 100, "rank": 1}} for token in body["prompt"][1:]
            ]
        return JSONResponse({"choices": [choice], "usage": {}})

    def _constrained(self, body: dict[str, Any]) -> str | None:
        """What is said; fields that are not known are ignored, as the real one ignores them."""
        given: dict[str, Any] = {
            f"structured_outputs.{name}": value
            for name, value in body.get("structured_outputs", {}).items()
        }
        given |= {name: value for name, value in body.items() if name.startswith("guided_")}
        for name in self._knows:
            if name in given and name.endswith("json"):
                schema = given[name]
                if "oops" in json.dumps(schema):
                    return None
                return json.dumps(schema["const"]) if "const" in schema else self.reply
            if name in given:
                literal = re.search(r'start: "([^"]*)"', given[name])
                return literal[1] if literal else self.reply
        return self.reply

    async def _events(self, body: dict[str, Any], tokens: list[int]) -> AsyncIterator[str]:
        try:
            for index, token in enumerate(tokens):
                await asyncio.sleep(self.pause_seconds)
                if self.mishap is not None and index == 3:
                    yield f"data: {json.dumps(self.mishap)}\n\n"
                is_last = index == len(tokens) - 1
                reason = None if not is_last else "stop" if token == END else "length"
                yield self._event({"choices": [self._choice([token], reason)]})
            usage = {
                "prompt_tokens": len(body["prompt"]),
                "prompt_tokens_details": {"cached_tokens": 5},
            }
            yield self._event({"choices": [], "usage": usage})
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.was_left.set()
            raise

    def _event(self, value: dict[str, Any]) -> str:
        return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"

    def _choice(self, tokens: list[int], reason: str | None) -> dict[str, Any]:
        shown = tokens[:-1] if reason == "stop" else tokens
        choice = {"index": 0, "text": decode(shown), "finish_reason": reason}
        return {**choice, "token_ids": tokens} if self._tells_token_ids else choice

    def _error(self, status: int, message: str) -> Response:
        error = {"message": message, "type": "BadRequestError", "code": status}
        return JSONResponse({"error": error}, status)
