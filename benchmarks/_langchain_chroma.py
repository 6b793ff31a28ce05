"""A program as people glue one together: LangChain's splitter, the model on torch, Chroma on disk.

    python -m benchmarks._langchain_chroma FOLDER MODEL    prints seconds and chunks

Run as a process of its own, since it brings libraries that the product does not have.
"""

import sys
import tempfile
import time
from pathlib import Path

import chromadb
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sentence_transformers import SentenceTransformer, models

from ingest.chunking.tokens import Tokenizer

AT_ONCE = 256


def main() -> None:
    folder = Path(sys.argv[1])
    transformer = models.Transformer(sys.argv[2], max_seq_length=256)
    layers = [transformer, models.Pooling(384, pooling_mode="mean"), models.Normalize()]
    model = SentenceTransformer(modules=layers, device="cpu")
    length = Tokenizer().count_short  # tiktoken's cl100k_base as LangChain would have it, but for a download
    splitter = RecursiveCharacterTextSplitter(chunk_size=256, chunk_overlap=0, length_function=length)
    with tempfile.TemporaryDirectory() as place:
        collection = chromadb.PersistentClient(place).create_collection("all", metadata={"hnsw:space": "cosine"})
        begun, count, waiting = time.perf_counter(), 0, []
        for path in sorted(folder.iterdir()):
            waiting += [(path.name, text) for text in splitter.split_text(path.read_text("utf-8"))]
            while len(waiting) >= AT_ONCE:
                count += _add(collection, model, waiting[:AT_ONCE], count)
                waiting = waiting[AT_ONCE:]
        count += _add(collection, model, waiting, count)
        collection.query(query_embeddings=model.encode(["river"]), n_results=10)
        print(time.perf_counter() - begun, count)


def _add(collection: chromadb.Collection, model: SentenceTransformer, some: list[tuple[str, str]], start: int) -> int:
    if some:
        texts = [text for _, text in some]
        vectors = model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        ids = [str(start + at) for at in range(len(some))]
        collection.add(ids=ids, embeddings=vectors, documents=texts, metadatas=[{"file": name} for name, _ in some])
    return len(some)


if __name__ == "__main__":
    main()
