"""What the workers' rooms are handed: every part opened, and the numbers that steer them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from ingest.children import ChildPool
from ingest.embedding import Embedder
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId
from retrieval.storage.objects import Storage
from workers.slates import ServingSlate, Slate


@dataclass(frozen=True, slots=True)
class ClaimSize:
    """How much one task takes: enough to fill embedding calls and segments, little enough to lose."""

    files: int = 512
    bytes: int = 8 << 20  # of the files of one claim; the first one is taken whatever its size
    lease_seconds: int = 30
    largest_bytes: int | None = None  # files above are left to others
    fill: bool = True  # claim on until calls are full; otherwise one claim is all
    call_chunks: int = 4096  # embedded at once
    segment_chunks: int = 4096  # about as many are published together
    shift_seconds: int = 60  # after so long a task claims no more, and lets others come


def never() -> bool:
    return False


def unnoted(project: ProjectId, kind: str, quantity: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class WorkerResources:
    catalog: Catalog
    storage: Storage
    children: ChildPool
    embedder_of: Callable[[str], Embedder]
    claim_size: ClaimSize = field(default_factory=ClaimSize)
    slate: Slate = field(default_factory=ServingSlate)
    note: Callable[[ProjectId, str, int], None] = unnoted  # what a project has used, for the ledger
    stopping: Callable[[], bool] = never  # asked before each costly step: whether the process is to end soon

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes what is the worker's own; the rest belongs to whoever opened it."""
        self.children.close()

    def now(self) -> int:
        return self.catalog.now()
