"""LlamaIndex's embeddings against the API, as retrieval programs use them: run with the address and the key."""

import asyncio
import sys
from importlib.metadata import version

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding

TEXTS = ["Green tea is steamed in Japan.", "The schooner left the harbour at dawn.", "Coffee is roasted in Brazil."]


def main(address: str, key: str) -> None:
    given = {"model": "text-embedding-3-small", "api_base": address, "api_key": key}
    model = OpenAIEmbedding(**given)
    vectors = model.get_text_embedding_batch(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert len(asyncio.run(model.aget_query_embedding("tea"))) == len(vectors[0])
    assert len(OpenAIEmbedding(**given, dimensions=16).get_text_embedding("narrow")) == 16
    documents = [Document(text=text, metadata={"number": number}) for number, text in enumerate(TEXTS)]
    index = VectorStoreIndex.from_documents(documents, embed_model=model)
    [found] = index.as_retriever(similarity_top_k=1).retrieve("schooner in the harbour")
    assert found.node.metadata["number"] == 1, found
    sys.stdout.write(f"done with llama-index {version('llama-index-embeddings-openai')}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
