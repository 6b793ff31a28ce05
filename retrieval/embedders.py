"""The embedding models that stores may use, by name; each opened when it is first asked for.

A store keeps the model it was made with, so a process may need several. Names that other services use for
their models may be aliases of ours.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from ingest.embedding import Embedder, EmbedderConfig, ModelMissing, ModelSpec, Pauses, open_embedder
from retrieval.errors import NotFound


class Embedders:
    """Shared by the threads of a process. The first configuration is the default."""

    def __init__(
        self,
        configs: Sequence[EmbedderConfig],
        aliases: Mapping[str, str],
        *,
        opener: Callable[[EmbedderConfig, Pauses | None], Embedder] = open_embedder,
        pauses: Pauses | None = None,
    ) -> None:
        if not configs:
            raise ValueError("at least one embedding model must be configured")
        self._configs = {config.model: config for config in configs}
        self._aliases = aliases
        self._opener = opener
        self._pauses = pauses
        self._open: dict[str, Embedder] = {}
        self._lock = threading.Lock()  # guards _open, also while a model opens

    @property
    def default(self) -> str:
        return next(iter(self._configs))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._configs)

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._aliases

    def name_of(self, asked: str) -> str:
        """The model behind a name or an alias."""
        name = self._aliases.get(asked, asked)
        if name not in self._configs:
            raise NotFound(
                f"The model '{asked}' does not exist: 'GET /v1/models' lists those that do.",
                param="model",
                code="model_not_found",
            )
        return name

    def get(self, name: str) -> Embedder:
        """A model that a store was made with may have been taken out of the settings since: the operator's fault, and
        nobody else's, so it ends like a model that is away."""
        name = self._aliases.get(name, name)
        if name not in self._configs:
            raise ModelMissing(
                f"The embedding model '{name}' of this vector store is not among this server's models any more. Put it "
                "back into the settings and start again, or index the store anew with another model."
            )
        with self._lock:
            embedder = self._open.get(name)
            if embedder is None:
                embedder = self._open[name] = self._opener(self._configs[name], self._pauses)
            return embedder

    def spec(self, name: str) -> ModelSpec:
        return self.get(name).spec

    def close(self) -> None:
        with self._lock:
            for embedder in self._open.values():
                embedder.close()
            self._open.clear()
