"""The embedded model by OpenVINO beside the same by PyTorch, and how one of them is chosen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from localassist.child import Outcome
from localassist.errors import ModelLoadFailed
from localassist.registry import Catalog
from localassist.retrieval.embedders import SentenceEmbedder, choosing
from localassist.retrieval.embedders.choosing import choose
from localassist.retrieval.embedders.conversion import convert, unsupported
from localassist.retrieval.embedders.openvino import OpenVinoEmbedder
from localassist.retrieval.embedders.sentence import encode, load_model
from localassist.retrieval.embedders.tokens import well_formed

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]  # a conversion on a busy machine


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(tmp_path_factory.mktemp("home"))
    return catalog.locate(catalog.default("embedding"))


@pytest.fixture(scope="module")
def converted(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of a model that was converted and not timed."""
    cache = tmp_path_factory.mktemp("cache")
    found = choosing._Cache(model_folder, cache).choice(0.0)
    assert [way["way"] for way in found["ways"]][0] == "torch"
    return Path(found["folder"])


@pytest.fixture
def cache(converted: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    shutil.copytree(converted, tmp_path / "cache" / converted.name)
    return tmp_path / "cache"


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Conversions are only noted, and come to nothing."""
    asked: list[Any] = []

    def refuse(module: str, request: dict[str, Any], *, timeout_seconds: float) -> Outcome:
        asked.append(request)
        return Outcome((), 1)

    monkeypatch.setattr(choosing, "run_child", refuse)
    return asked


TEXTS = [
    "",
    " ",
    "a",
    "How is the weather in Paris?",
    "Ünïcödé, 東京の天気, Привет, שלום, 👍🏽 \u200b\x00 and \ud800",
    "x" * 500,
    "long " * 1000,
    *(f"Unit {n} " + "of some words, that differ in length. " * n for n in range(20)),
]


async def test_vectors_agree_with_those_of_pytorch(model_folder: Path, converted: Path) -> None:
    torch = await SentenceEmbedder.load(model_folder)
    expected = await torch.embed(TEXTS)
    for precision in ("f32", "bf16"):
        embedder = await OpenVinoEmbedder.load(converted, precision)
        found = await embedder.embed(TEXTS)
        assert found.dtype == np.float32 and found.shape == (len(TEXTS), 384)
        assert (found * expected).sum(axis=1).min() >= 0.999
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3)
        # The same whatever it is batched with.
        alone = np.concatenate([await embedder.embed([text]) for text in TEXTS])
        assert (found * alone).sum(axis=1).min() >= 0.999
        assert (embedder.dimensions, embedder.max_tokens) == (torch.dimensions, torch.max_tokens)
        assert await embedder.count_tokens(TEXTS) == await torch.count_tokens(TEXTS)
        np.testing.assert_array_equal(embedder.token_starts(TEXTS[4]), torch.token_starts(TEXTS[4]))
        embedder.close()
    torch.close()


def test_the_cached_model_needs_neither_conversion_nor_pytorch(
    model_folder: Path, cache: Path, no_child: list[Any]
) -> None:
    assert choose(choosing._Cache(model_folder, cache).choice(0.0), "auto") != "torch"
    assert no_child == []
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from localassist.retrieval.embedders import open_embedder\n"
        "async def main():\n"
        f"    embedder = await open_embedder(Path({str(model_folder)!r}), Path({str(cache)!r}))\n"
        "    print(len((await embedder.embed(['a word']))[0]))\n"
        "    embedder.close()\n"
        "asyncio.run(main())\n"
        "print(*sorted(name for name in ('torch', 'transformers', 'openvino_telemetry')"
        " if sys.modules.get(name)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["384", ""]


@pytest.mark.parametrize("damage", ["model.bin", "model.xml", "tokenizer.json", "choice.json"])
def test_a_damaged_cache_is_made_anew(
    model_folder: Path, cache: Path, no_child: list[Any], damage: str
) -> None:
    path = next(cache.iterdir()) / damage
    path.write_bytes(path.read_bytes()[:-10])
    assert choosing._Cache(model_folder, cache).choice(0.5)["reason"] == "its conversion failed"
    assert [(asked["folder"], asked["seconds"]) for asked in no_child] == [(str(model_folder), 0.5)]
    # A failure is remembered; nothing half-made is left.
    assert choosing._Cache(model_folder, cache).choice(0.5)["reason"] == "its conversion failed"
    assert len(no_child) == 1
    assert [[file.name for file in folder.iterdir()] for folder in cache.iterdir()] == [
        ["choice.json"]
    ]


def test_other_versions_and_machines_ask_again(
    model_folder: Path, cache: Path, no_child: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing._Cache(model_folder, cache).choice(0.0)
    assert no_child == []
    monkeypatch.setattr(choosing, "_processor", lambda: "another")
    choosing._Cache(model_folder, cache).choice(0.0)
    assert len(no_child) == 1
    monkeypatch.setattr(choosing, "_version", lambda library: "0.0")
    choosing._Cache(model_folder, cache).choice(0.0)
    assert len(no_child) == 2


def test_a_child_that_was_stopped_tells_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [Outcome((), None), Outcome((), -9), Outcome((), -2)]
    monkeypatch.setattr(choosing, "run_child", lambda *_, **__: outcomes.pop())
    for _ in range(3):
        choosing._Cache(model_folder, tmp_path / "cache").choice(0.0)
        assert list((tmp_path / "cache").iterdir()) == []
    assert outcomes == []


def test_a_cache_that_cannot_be_written_leads_to_pytorch(
    model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    choice = choosing._Cache(model_folder, tmp_path / "file" / "cache").choice(0.0)
    assert "cannot be written" in choice["reason"]
    assert choose(choice, "openvino") == "torch"


async def test_what_is_no_converted_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="cannot be used"):
        await OpenVinoEmbedder.load(tmp_path, "f32")


async def test_conversion_of_a_model_that_takes_its_first_token(
    model_folder: Path, tmp_path: Path
) -> None:
    model = load_model(tiny_model(model_folder, tmp_path / "tiny"))
    texts = [well_formed(text) for text in TEXTS]
    before = encode(model, texts)
    convert(model, tmp_path)
    np.testing.assert_array_equal(encode(model, texts), before)  # it is as it was
    embedder = await OpenVinoEmbedder.load(tmp_path, "f32")
    assert ((await embedder.embed(texts)) * before).sum(axis=1).min() >= 0.9999
    assert (embedder.dimensions, embedder.max_tokens) == (16, 10)
    embedder.close()


def tiny_model(like: Path, folder: Path) -> Path:
    """A model with random weights, another pooling and a window of 12 tokens."""
    from transformers import BertConfig, BertModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    shutil.copytree(like, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 32}
    config = BertConfig(num_hidden_layers=2, num_attention_heads=2, **sizes)
    BertModel(config).save_pretrained(folder)
    return folder


def ways(**found: tuple[float, float | None]) -> dict[str, Any]:
    names = {"torch": "torch", "f32": "openvino-f32", "bf16": "openvino-bf16"}
    return {
        "ways": [
            {"way": names[name], "cosine": cosine, "texts_per_second": rate}
            for name, (cosine, rate) in found.items()
        ]
    }


@pytest.mark.parametrize(
    ("found", "auto", "openvino"),
    [
        ({"torch": (1, 40), "bf16": (1, 100), "f32": (1, 60)}, "openvino-bf16", "openvino-bf16"),
        ({"torch": (1, 40), "bf16": (1, 30), "f32": (1, 60)}, "openvino-f32", "openvino-f32"),
        ({"torch": (1, 90), "bf16": (1, 30), "f32": (1, 60)}, "torch", "openvino-f32"),
        ({"torch": (1, 40), "bf16": (0.9, 100), "f32": (1, 60)}, "openvino-f32", "openvino-f32"),
        ({"torch": (1, 40), "f32": (0.998, 60)}, "torch", "torch"),
        ({"torch": (1, None), "bf16": (1, None), "f32": (1, None)}, "openvino-bf16",
         "openvino-bf16"),
        ({}, "torch", "torch"),
    ],
)  # fmt: skip
def test_the_fastest_that_agrees_is_chosen(found: Any, auto: str, openvino: str) -> None:
    assert choose(ways(**found), "auto") == auto
    assert choose(ways(**found), "openvino") == openvino


class Part(SimpleNamespace):
    pass


def model_of(*kinds: str, pooling: str = "mean", **more: Any) -> Any:
    parts = [type(kind, (Part,), {})(pooling_mode=pooling, **more) for kind in kinds]

    class Model(list[Any]):
        default_prompt_name = more.get("prompt")

    return Model(parts)


def test_only_plain_models_are_converted() -> None:
    plain = ("Transformer", "Pooling", "Normalize")
    assert unsupported(model_of(*plain)) is None
    assert unsupported(model_of(*plain[:2], pooling="cls")) is None
    assert "consists of Transformer, Pooling, Dense" in unsupported(
        model_of("Transformer", "Pooling", "Dense")
    )
    assert "pools by max" in unsupported(model_of(*plain, pooling="max"))
    assert "prompt" in unsupported(model_of(*plain, prompt="query"))
    assert "lower-cases" in unsupported(model_of(*plain, do_lower_case=True))
