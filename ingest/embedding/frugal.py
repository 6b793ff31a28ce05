"""FrugalEmbedder: an engine made an Embedder, that never computes or pays for the same text twice.

Equal texts of a call are embedded once, texts seen before come from the cache, texts that the model cannot read at
once become windows (shared ones once), and every vector is checked before anybody relies on it.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from ingest.embedding.cache import Entry, VectorCache
from ingest.embedding.embedder import Embedded, ModelSpec, Purpose, Vectors
from ingest.embedding.engine import Engine, Portion
from ingest.embedding.windows import pool
from ingest.errors import EmbedderMisbehaved


class FrugalEmbedder:
    def __init__(
        self, engine: Engine, cache: VectorCache, *, query_prefix: str = "", document_prefix: str = ""
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._prefix: dict[Purpose, str] = {"query": query_prefix, "document": document_prefix}

    @property
    def spec(self) -> ModelSpec:
        return self._engine.spec

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        texts = [_encodable(text) for text in texts]
        keys = self._keys(texts, purpose)
        wanted = dict(zip(keys, texts, strict=True))  # equal texts are one
        known = self._cache.get_many(list(wanted))
        missing = {key: text for key, text in wanted.items() if key not in known}
        new = dict[bytes, int]()
        if missing:
            known |= self._embed_new(missing, purpose, new)
        vectors = np.empty((len(texts), self.spec.width), dtype=np.float32)
        for row, key in enumerate(keys):
            vectors[row] = known[key].vector
        return Embedded(vectors, sum(known[key].tokens for key in keys), tuple(new.pop(key, 0) for key in keys))

    def close(self) -> None:
        self._engine.close()
        self._cache.close()

    def _embed_new(self, texts: dict[bytes, str], purpose: Purpose, new: dict[bytes, int]) -> dict[bytes, Entry]:
        """Notes in `new` how many tokens the model read for each text; a window that texts share counts for one."""
        windows_of, wanted = dict[bytes, list[bytes]](), dict[bytes, str]()
        for key, text in texts.items():
            windows = self._engine.windows(text)
            windows_of[key] = [key] if windows == [text] else self._keys(windows, purpose)
            wanted.update(zip(windows_of[key], windows, strict=True))
        shared = [key for key in wanted if key not in texts]
        known = self._cache.get_many(shared) if shared else {}
        encoded = self._encode({key: text for key, text in wanted.items() if key not in known}, purpose)
        known |= encoded
        unpaid = {key: entry.tokens for key, entry in encoded.items()}
        new |= {key: sum(unpaid.pop(part, 0) for part in parts) for key, parts in windows_of.items()}
        pooled = {key: _pooled([known[one] for one in parts]) for key, parts in windows_of.items() if parts != [key]}
        self._cache.put_many(pooled)
        return known | pooled

    def _encode(self, texts: dict[bytes, str], purpose: Purpose) -> dict[bytes, Entry]:
        keys = list(texts)
        prefix = self._prefix[purpose]
        fresh = dict[bytes, Entry]()
        for portion in self._engine.encode([prefix + text for text in texts.values()], purpose):
            vectors = checked(portion, self.spec)
            entries = {
                keys[index]: Entry(vectors[row].copy(), portion.tokens[row])
                for row, index in enumerate(portion.indices)
            }
            self._cache.put_many(entries)  # at once: should the next portion fail, this one is not paid for again
            fresh |= entries
        if len(fresh) != len(keys):
            raise EmbedderMisbehaved(f"the embedding model {self.spec.name} answered {len(fresh)} of {len(keys)} texts")
        return fresh

    def _keys(self, texts: Iterable[str], purpose: Purpose) -> list[bytes]:
        seed = blake2b(f"{self._engine.identity}\0{self._prefix[purpose]}\0".encode(), digest_size=16)
        keys = list[bytes]()
        for text in texts:
            digest = seed.copy()
            digest.update(text.encode())
            keys.append(digest.digest())
        return keys


def checked(portion: Portion, spec: ModelSpec) -> Vectors:
    """The portion's rows, each one long; anything that is not such a row is the model's fault, and is said."""
    vectors = np.asarray(portion.vectors, dtype=np.float32)
    expected = (len(portion.indices), spec.width)
    if vectors.shape != expected:
        raise EmbedderMisbehaved(
            f"the embedding model {spec.name} gave vectors of shape {vectors.shape} where {expected} was expected"
        )
    if not np.isfinite(vectors).all():
        raise EmbedderMisbehaved(f"the embedding model {spec.name} gave a vector that is not made of finite numbers")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if (lengths < 1e-12).any():
        raise EmbedderMisbehaved(
            f"the embedding model {spec.name} gave a vector of length zero, which has no direction"
        )
    unit: Vectors = np.divide(vectors, lengths[:, None].astype(np.float32), dtype=np.float32)
    return unit


def _encodable(text: str) -> str:
    """Half a character, as broken UTF-16 leaves it, can be sent to no model: it becomes a question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _pooled(parts: Sequence[Entry]) -> Entry:
    tokens = [part.tokens for part in parts]
    return Entry(pool(np.stack([part.vector for part in parts]), tokens), sum(tokens))
