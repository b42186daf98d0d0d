"""Follows values of hard schemas through llama-cpp-python's grammars; it may not survive that."""

from __future__ import annotations

import ctypes
import json
import time
from typing import Any

from benchmarks.tools.hard_schemas import HardSchema, hard_schemas
from localassist.child import read_request, say


class Vocabulary:
    """The model's tokens, and GBNF over them."""

    def __init__(self, path: str) -> None:
        from llama_cpp import Llama

        self.llama = Llama(path, vocab_only=True, verbose=False)
        self.vocab_size = self.llama.n_vocab()

    def follow(self, grammar: str, text: str, masks: list[float]) -> bool:
        """Whether every token of the text, and then an end, may come."""
        import llama_cpp.llama_cpp as api

        vocab = self.llama._model.vocab
        sampler = api.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
        if not sampler:
            raise ValueError("the grammar was not parsed")
        try:
            tokens = self.llama.tokenize(text.encode(), add_bos=False, special=False)
            for token in [*tokens, self.llama.token_eos()]:
                candidates = self._candidates(api)
                begun = time.perf_counter()
                api.llama_sampler_apply(sampler, ctypes.byref(candidates))
                masks.append(1e6 * (time.perf_counter() - begun))
                if candidates.data[token].logit == float("-inf"):
                    return False
                if token != self.llama.token_eos():
                    api.llama_sampler_accept(sampler, token)
            return True
        finally:
            api.llama_sampler_free(sampler)

    def _candidates(self, api: Any) -> Any:
        data = (api.llama_token_data * self.vocab_size)()
        for token in range(self.vocab_size):
            data[token].id = token
        self._kept = data
        return api.llama_token_data_array(data, self.vocab_size, -1, False)


def verdict(hard: HardSchema, vocabulary: Vocabulary) -> dict[str, Any]:
    from llama_cpp import LlamaGrammar

    begun = time.perf_counter()
    try:
        grammar = LlamaGrammar.from_json_schema(json.dumps(hard.schema), verbose=False)._grammar
        vocabulary.follow(grammar, "", [])
    except Exception as error:
        return {"tier": "refused", "why": f"{type(error).__name__}: {error}"[:200]}
    compile_ms = 1000 * (time.perf_counter() - begun)
    masks: list[float] = []

    def allows(value: Any) -> bool:
        return vocabulary.follow(grammar, json.dumps(value, ensure_ascii=False), masks)

    rejected = [not allows(value) for value in hard.invalid]
    return {
        "tier": "compiled",
        "compile_ms": compile_ms,
        "masks_us": masks,
        "valid": [allows(value) for value in hard.valid],
        "by_grammar": rejected,
        "invalid": rejected,
    }


def main() -> None:
    request = read_request()
    vocabulary = Vocabulary(request["model"])
    for hard in hard_schemas()[:: request["step"]][request["first"] :]:
        say(verdict(hard, vocabulary))


if __name__ == "__main__":
    main()
