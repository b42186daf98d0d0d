"""In a process of its own: a sentence-transformers model into one for OpenVINO, both compared.

``python -m localassist.retrieval.embedders.conversion`` reads one request: ``folder`` of the
model, ``target`` for the converted one, ``seconds`` of measuring. It writes
``{"unsupported": reason}``, or a line for every way of computing the model: ``way``, ``cosine``
(the least of its vectors with those of sentence-transformers) and ``texts_per_second`` (null where
nothing was measured). So the parent never loads PyTorch.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.child import read_request, say
from localassist.offline import switch_off
from localassist.retrieval.embedders.openvino import OpenVinoModel, Precision
from localassist.retrieval.embedders.sentence import encode, load_model, tokens_of

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Vectors

Encode = Callable[[Sequence[str]], "Vectors"]

_SENTENCE = "A quick brown fox jumps over the lazy dog; it is 4.5 feet long and was seen in 1998. "
# What vectors are compared on: nothing, a word, scripts, symbols, more than any window.
_PROBES = (
    "",
    "word",
    _SENTENCE,
    "Größe, naïveté — 東京の天気はどうですか？ Как дела? كيف حالك؟ 👍🏽",
    "def area(r):\n\treturn 3.14159 * r ** 2  # |a|b|c| <tag/> {}[]~",
    _SENTENCE * 100,
)
# What is timed: eight units of files, and a question.
_TIMED = tuple((_SENTENCE * 6)[start : start + 330] for start in range(8))


def main() -> None:
    request = read_request()
    model = load_model(Path(request["folder"]))
    reason = unsupported(model)
    if reason is not None:
        say({"unsupported": reason})
        return
    target = Path(request["target"])
    convert(model, target)
    ways: dict[str, Encode] = {"torch": partial(encode, model)}
    for precision in _precisions():
        ways[f"openvino-{precision}"] = _by_openvino(OpenVinoModel(target, precision))
    expected = ways["torch"](_PROBES)
    rates = _rates(ways, request["seconds"])
    for name, way in ways.items():
        cosine = float((way(_PROBES) * expected).sum(axis=1).min())
        say({"way": name, "cosine": cosine, "texts_per_second": rates.get(name)})


def unsupported(model: Any) -> str | None:
    """Why this SentenceTransformer cannot be converted; None when it can: a transformer whose
    token vectors are averaged, or the first one taken, and nothing done to the text."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"it consists of {', '.join(kinds)}"
    if model[1].pooling_mode not in ("mean", "cls"):
        return f"it pools by {model[1].pooling_mode}"
    if getattr(model[0], "do_lower_case", False):
        return "it lower-cases texts itself"
    if model.default_prompt_name is not None:
        return "it puts a prompt before every text"
    return None


def convert(model: Any, target: Path) -> None:
    """Write ``model.xml``, ``model.bin``, ``tokenizer.json`` and ``model.json`` into a folder.
    Leaves the model as it was."""
    switch_off()
    import openvino
    import torch

    transformer = model[0].auto_model
    takes_mean = model[1].pooling_mode == "mean"

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.transformer(input_ids=input_ids, attention_mask=attention_mask)[0]
            if takes_mean:
                mask = attention_mask.unsqueeze(-1).to(states.dtype)
                pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            else:
                pooled = states[:, 0]
            return torch.nn.functional.normalize(pooled, dim=1)

    attention = transformer.config._attn_implementation
    ones = torch.ones(2, 9, dtype=torch.long)
    transformer.set_attn_implementation("eager")  # the others cannot be traced
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(
            Pooled().eval(), example_input={"input_ids": ones, "attention_mask": ones}
        )
    transformer.set_attn_implementation(attention)
    openvino.save_model(converted, target / "model.xml", compress_to_fp16=True)
    tokens = tokens_of(model)
    (target / "tokenizer.json").write_text(tokens.json(), "utf-8")
    facts = {
        "dimensions": model.get_embedding_dimension(),
        "window": tokens.window,
        "padding_id": model.tokenizer.pad_token_id or 0,
    }
    (target / "model.json").write_text(json.dumps(facts), "utf-8")


def _precisions() -> list[Precision]:
    switch_off()
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bf16", "f32"] if "BF16" in able else ["f32"]


def _by_openvino(model: OpenVinoModel) -> Encode:
    return lambda texts: model.forward(model.tokens.encode(texts))


def _rates(ways: dict[str, Encode], seconds: float) -> dict[str, float]:
    """Texts per second at each one's best, measured in turns, or nothing for no seconds."""
    best: dict[str, float] = {}
    for way in ways.values():
        way(_TIMED)
    end = time.monotonic() + seconds * len(ways)
    while time.monotonic() < end:
        for name, way in ways.items():
            began = time.perf_counter()
            way(_TIMED)
            rate = len(_TIMED) / (time.perf_counter() - began)
            best[name] = max(best.get(name, 0.0), rate)
    return best


if __name__ == "__main__":
    main()
