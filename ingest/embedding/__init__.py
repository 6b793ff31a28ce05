"""Texts -> vectors: the port, and its three adapters. All of ingest that retrieval may import."""

from ingest.embedding.backoff import Pause, Pauses
from ingest.embedding.config import CacheConfig, EmbedderConfig, RemoteLimits
from ingest.embedding.embedder import Embedded, Embedder, ModelSpec, Purpose, Vectors
from ingest.embedding.hashed import HashedEmbedder
from ingest.embedding.opening import open_embedder
from ingest.embedding.shortening import ShortenedEmbedder, shortened
from ingest.embedding.token_ids import TokenIds
from ingest.errors import EmbedderMisbehaved, EmbedderUnavailable, ModelMissing

__all__ = [
    "CacheConfig",
    "Embedded",
    "Embedder",
    "EmbedderConfig",
    "EmbedderMisbehaved",
    "EmbedderUnavailable",
    "HashedEmbedder",
    "ModelMissing",
    "ModelSpec",
    "Pause",
    "Pauses",
    "Purpose",
    "RemoteLimits",
    "ShortenedEmbedder",
    "TokenIds",
    "Vectors",
    "open_embedder",
    "shortened",
]
