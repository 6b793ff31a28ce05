"""EmbedderConfig -> an Embedder that is ready: the one place that knows all adapters."""

from ingest.embedding.config import EmbedderConfig
from ingest.embedding.embedder import Embedder
from ingest.embedding.hashed import HashedEmbedder


def open_embedder(config: EmbedderConfig) -> Embedder:
    """Raises ModelMissing when a local model is not on this machine; the caller closes what it gets."""
    match config.provider:
        case "hashed":
            return HashedEmbedder(width=config.dimensions or config.width or 384, name=config.model)
        case _:
            raise ValueError(f"no embedder named {config.provider!r}")
