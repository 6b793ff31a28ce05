"""What the workers' rooms are handed: every part opened, and the numbers that steer them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from ingest.children import ChildPool
from ingest.embedding import Embedder
from retrieval.catalog.transaction import Catalog
from retrieval.storage.objects import Storage


@dataclass(frozen=True, slots=True)
class ClaimSize:
    """How much one claim takes: enough to fill embedding calls, little enough to lose."""

    files: int = 512
    bytes: int = 8 << 20  # of the files; the first one is taken whatever its size
    lease_seconds: int = 30


@dataclass(frozen=True, slots=True)
class WorkerResources:
    catalog: Catalog
    storage: Storage
    children: ChildPool
    embedder_of: Callable[[str], Embedder]
    claim_size: ClaimSize = field(default_factory=ClaimSize)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes what is the worker's own; the rest belongs to whoever opened it."""
        self.children.close()

    def now(self) -> int:
        return self.catalog.now()
