"""Text into something that can be searched, ours or by sentence-transformers and Chroma."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from benchmarks.subjects.process import details, serve
from localassist.registry.catalog import Catalog
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.segment_builder import UNIT_TOKENS
from localassist.retrieval.splitting import split

WINDOW_TOKENS, OVERLAP_TOKENS = 800, 400
_PEER_ADDS = 5000  # Chroma's own limit per call is a little higher


class Ingest(Protocol):
    backend: str

    def ingest(self, text: str, folder: Path) -> int:
        """Make the text searchable; the number of chunks."""
        ...


class Ours:
    """Split, embed, segment on disk, index on disk."""

    def __init__(self, model: Path, cache: Path) -> None:
        from localassist.retrieval.embedders import open_embedder

        self._loop = asyncio.new_event_loop()
        self._embedder = self._loop.run_until_complete(open_embedder(model, cache))
        self.backend = type(self._embedder).__name__

    def ingest(self, text: str, folder: Path) -> int:
        from localassist.retrieval.segment_builder import build_segment
        from localassist.retrieval.segments import SegmentStore
        from localassist.retrieval.store_index import StoreIndex

        document = ParsedDocument(text, language="en")
        building = build_segment("0" * 64, document, self._embedder, embedder_id="benchmark")
        segment = SegmentStore(folder / "segments").put(self._loop.run_until_complete(building))
        index = StoreIndex.open(folder / "store", self._embedder.dimensions)
        index.add("file", segment)
        index.commit()
        index.close()
        return len(segment)


class Peer:
    """sentence-transformers in fp32 and a Chroma collection, both as they come."""

    backend = "PyTorch"

    def __init__(self, model: Path, form: str) -> None:
        from localassist.retrieval.embedders.sentence import load_model, tokens_of

        self._model = load_model(model)
        self._starts = tokens_of(self._model).starts
        self._form = form

    def ingest(self, text: str, folder: Path) -> int:
        import chromadb

        chunks = self._chunks(text)
        vectors = self._model.encode(chunks, show_progress_bar=False)
        quiet = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(folder), quiet)
        collection = client.create_collection("texts", embedding_function=None)
        for first in range(0, len(chunks), _PEER_ADDS):
            last = min(len(chunks), first + _PEER_ADDS)
            collection.add(
                ids=[str(n) for n in range(first, last)],
                embeddings=vectors[first:last],
                documents=chunks[first:last],
            )
        return len(chunks)

    def _chunks(self, text: str) -> list[str]:
        starts = self._starts(text)
        if self._form == "units":
            units = split(ParsedDocument(text), starts, UNIT_TOKENS)
            return [text[start:end] for start, end in units[:, :2].tolist()]
        step = WINDOW_TOKENS - OVERLAP_TOKENS
        edges = [*starts.tolist(), len(text)]
        last = max(1, len(starts) - OVERLAP_TOKENS)
        return [
            text[edges[at] : edges[min(at + WINDOW_TOKENS, len(starts))]]
            for at in range(0, last, step)
        ]


def main() -> None:
    options = details()
    catalog = Catalog(Path(options["cache"]).parent)
    model = catalog.locate(catalog.default("embedding"))
    form = options["form"]
    subject: Ingest
    subject = Ours(model, Path(options["cache"])) if form == "ours" else Peer(model, form)

    def ingest(text: str, folder: str) -> dict[str, Any]:
        began, busy = time.perf_counter(), time.process_time()
        chunks = subject.ingest(text, Path(folder))
        return {
            "chunks": chunks,
            "seconds": time.perf_counter() - began,
            "processor_seconds": time.process_time() - busy,
            "backend": subject.backend,
        }

    def warm_up() -> None:
        with tempfile.TemporaryDirectory() as folder:
            ingest("Some words to begin with. " * 200, folder)

    serve({"ingest": ingest, "warm_up": warm_up})


if __name__ == "__main__":
    main()
