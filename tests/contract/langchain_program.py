"""LangChain's embeddings against the API, as retrieval programs use them: run with the address and the key.

By default it counts tokens itself and sends them instead of text.
"""

import asyncio
import sys
from importlib.metadata import version

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings

TEXTS = ["Green tea is steamed in Japan.", "The schooner left the harbour at dawn.", "Coffee is roasted in Brazil."]


def near(one: list[float], other: list[float]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-4


def main(address: str, key: str) -> None:
    given = {"model": "text-embedding-3-small", "base_url": address, "api_key": key}
    by_tokens = OpenAIEmbeddings(**given)
    by_texts = OpenAIEmbeddings(**given, check_embedding_ctx_length=False)
    vectors = by_tokens.embed_documents(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert all(near(one, other) for one, other in zip(vectors, by_texts.embed_documents(TEXTS), strict=True))
    assert near(asyncio.run(by_tokens.aembed_query(TEXTS[0])), vectors[0])
    narrow = OpenAIEmbeddings(**given, dimensions=16)
    assert len(narrow.embed_query("narrow")) == 16
    long = " ".join(TEXTS * 1_000)  # more than a model takes at once: sent in parts, whose vectors are averaged
    assert len(by_tokens.embed_documents([long])[0]) == len(vectors[0])
    store = InMemoryVectorStore(by_tokens)
    store.add_documents([Document(text, metadata={"number": number}) for number, text in enumerate(TEXTS)])
    [found] = store.as_retriever(search_kwargs={"k": 1}).invoke("schooner in the harbour")
    assert found.metadata["number"] == 1, found
    sys.stdout.write(f"done with langchain-openai {version('langchain-openai')}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
