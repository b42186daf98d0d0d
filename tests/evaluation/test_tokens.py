"""Tokens of spans, vocabularies that are checked, and embedders told apart by their content."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist import load_settings
from localassist.errors import ConfigError, LocalAssistError
from localassist.evaluation.corpus import Document
from localassist.evaluation.embedding import embedders_of, identity_of
from localassist.evaluation.spans import Span
from localassist.evaluation.tokens import TokenTable, cl100k
from localassist.retrieval.documents import ParsedDocument


@given(st.sets(st.integers(0, 30)), st.integers(0, 31), st.integers(0, 31), st.integers(0, 31))
def test_tokens_of_neighbouring_spans_add_up(
    starts: set[int], one: int, two: int, three: int
) -> None:
    low, middle, high = sorted((one, two, three))
    document = Document("d", ParsedDocument("x" * 31))
    table = TokenTable("t", lambda text: np.array(sorted(starts), np.int32), [document])
    whole = table.count(Span("d", low, high))
    assert whole == sum(low <= start < high for start in starts)
    parts = table.count(Span("d", low, middle)) + table.count(Span("d", middle, high))
    assert parts == whole and table.total == len(starts)


def test_without_tiktoken_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ConfigError, match="pip install tiktoken"):
        cl100k(Path("any"))


def test_another_file_is_not_taken_for_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", types.ModuleType("tiktoken"))
    path = tmp_path / "cl100k_base.tiktoken"
    with pytest.raises(ConfigError, match="cannot be read"):
        cl100k(path)
    path.write_bytes(b"IQ== 0\n")
    with pytest.raises(ConfigError, match="is not cl100k_base"):
        cl100k(path)


def test_folders_are_told_apart_by_what_vectors_depend_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = identity_of(tmp_path)
    (tmp_path / "README.md").write_text("About the model.")
    assert identity_of(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert identity_of(tmp_path) != first


@pytest.mark.parametrize(
    ("name", "said"), [("no/such/folder", "no folder"), ("nobody", "nobody"), ("", "holds no")]
)
async def test_an_embedder_that_is_not_there_is_said(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LocalAssistError, match=said):
        await embedders_of(load_settings())(name or str(tmp_path / "empty"))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
