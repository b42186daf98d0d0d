"""llama-cpp-python's ``chatml-function-calling`` on the same weights, in a child.

Its template shows the tools only where there is a system message, so it gets the one of its own
documentation. Its grammar knows no ``required``: where a call is demanded and one tool is offered,
that tool is named, as its users would; with several it cannot be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common
from benchmarks.subjects.process import Subject, details, serve

_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. The assistant calls functions "
    "with appropriate input when necessary"
)
# An answer that has not ended here is an error; calls that go round in circles would fill any.
_CONTEXT = 2048


def packaged_caller(model: common.Model) -> Subject:
    """Command ``call``. It may end at any question: some schemas crash its converter."""
    extra_buffers = model.measured["use_extra_buffers"] == "on"
    found = {"path": str(model.path), "extra_buffers": extra_buffers}
    return Subject("benchmarks.subjects.packaged_calling", found)


class PackagedCaller:
    """One ``Llama``; greedy, everything else as it comes."""

    def __init__(self, path: Path, *, extra_buffers: bool) -> None:
        import llama_cpp

        self._llama = _opened(llama_cpp, path, extra_buffers)
        self._evaluated = 0
        self._written = 0
        evaluate = self._llama.eval

        def counted(tokens: Sequence[int]) -> None:
            # Its own usage leaves out the passes that choose the function.
            self._evaluated += len(tokens)
            self._written += len(tokens) == 1
            evaluate(tokens)

        self._llama.eval = counted

    def call(
        self,
        messages: Sequence[Mapping[str, str]],
        tools: Sequence[Mapping[str, Any]],
        choice: str,
    ) -> dict[str, Any]:
        """As ``calling.Caller.call``."""
        wanted: Any = choice
        if choice == "required" and len(tools) == 1:
            name = tools[0]["function"]["name"]
            wanted = {"type": "function", "function": {"name": name}}
        self._evaluated = self._written = 0
        started = perf_counter()
        found: dict[str, Any] = {"calls": []}
        try:
            completion = self._llama.create_chat_completion(
                messages=[{"role": "system", "content": _SYSTEM}, *messages],
                tools=list(tools),
                tool_choice=wanted,
                temperature=0.0,
            )
            message = completion["choices"][0]["message"]
            functions = [made["function"] for made in message.get("tool_calls") or ()]
            found["calls"] = [[f["name"], f["arguments"]] for f in functions]
        except Exception as error:  # whatever it raises is its answer
            found["error"] = f"{type(error).__name__}: {error}"
        found["seconds"] = perf_counter() - started
        return {**found, "evaluated": self._evaluated, "written": self._written}


def _opened(llama_cpp: Any, path: Path, extra_buffers: bool) -> Any:
    """With repacked weights or without, as measured here: ``Llama`` has no option for it."""
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def chosen() -> Any:
        params = defaults()
        params.use_extra_bufts = extra_buffers
        return params

    llama_cpp.llama_cpp.llama_model_default_params = chosen
    return llama_cpp.Llama(
        str(path),
        n_ctx=_CONTEXT,
        chat_format="chatml-function-calling",
        verbose=False,
    )


def main() -> None:
    found = details()
    caller = PackagedCaller(Path(found["path"]), extra_buffers=found["extra_buffers"])
    serve({"call": caller.call})


if __name__ == "__main__":
    main()
