"""EmbedderConfig -> an Embedder that is ready: the one place that knows all adapters."""

from ingest.embedding.backoff import Pauses
from ingest.embedding.cache import VectorCache
from ingest.embedding.config import EmbedderConfig
from ingest.embedding.embedder import Embedder
from ingest.embedding.engine import Engine
from ingest.embedding.frugal import FrugalEmbedder
from ingest.embedding.hashed import HashedEmbedder
from ingest.embedding.local import LocalEngine
from ingest.embedding.remote import RemoteEngine
from ingest.embedding.shortening import ShortenedEmbedder


def open_embedder(config: EmbedderConfig, pauses: Pauses | None = None) -> Embedder:
    """Processes that share `pauses` slow down together when an upstream asks for it.

    Raises ModelMissing when a local model is not on this machine; the caller closes what it gets.
    """
    match config.provider:
        case "hashed":
            return HashedEmbedder(
                dollars=config.dollars_per_million_tokens,
                width=config.dimensions or config.width or 384,
                name=config.model,
            )
        case "local":
            embedder = _frugal(LocalEngine.open(config), config)
        case "openai":
            embedder = _frugal(RemoteEngine(config, pauses), config)
    if config.dimensions is None or config.dimensions == embedder.spec.width:
        return embedder
    return ShortenedEmbedder(embedder, config.dimensions)


def _frugal(engine: Engine, config: EmbedderConfig) -> FrugalEmbedder:
    cache = VectorCache.open(
        memory_bytes=config.cache.memory_bytes,
        folder=config.cache.folder,
        disk_bytes=config.cache.disk_bytes,
        identity=engine.identity,
        width=engine.spec.width,
    )
    return FrugalEmbedder(engine, cache, query_prefix=config.query_prefix, document_prefix=config.document_prefix)
