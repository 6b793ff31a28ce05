"""F13: files and batches cancelled, files and stores deleted, at every moment of their ingestion."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import openai

from benchmarks._faults.run import Run, Size, none, parts, remains
from benchmarks.figure import Figure
from tests.support.whole import pause

WORKERS: Final = 3
AT_ONCE: Final = 6
FILES: Final = 4  # of each interleaving
LONGEST_SECONDS: Final = 0.8  # from attaching to interfering; by then most has been searchable for a while


@dataclass(slots=True)
class Scene:
    """One store while somebody interferes; who is told to go is in `gone`."""

    run: Run
    store: str
    batch: str
    files: list[str]
    gone: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    deleted: bool = False

    def cancel_file(self) -> None:
        self.run.client.post(f"/vector_stores/{self.store}/files/{self.files[0]}/cancel", cast_to=object)
        self.cancelled.add(self.files[0])

    def cancel_batch(self) -> None:
        self.run.client.vector_stores.file_batches.cancel(self.batch, vector_store_id=self.store)
        self.cancelled.update(self.files)

    def take_out(self) -> None:
        self.run.client.vector_stores.files.delete(self.files[0], vector_store_id=self.store)
        self.gone.add(self.files[0])

    def delete_file(self) -> None:
        self.run.client.files.delete(self.files[-1])
        self.gone.add(self.files[-1])

    def delete_store(self) -> None:
        self.run.client.vector_stores.delete(self.store)
        self.deleted = True

    def settle(self) -> Counter[str]:
        """What is wrong once nothing is in progress any more."""
        wrong: Counter[str] = Counter()
        if self.deleted:
            try:
                self.run.client.vector_stores.retrieve(self.store)
                wrong["zombies"] += 1
            except openai.NotFoundError:
                pass
            return wrong
        completed, failed, stuck = self.run.until_settled(self.store)
        wrong["stuck"], wrong["failed"] = stuck, failed
        statuses = {file.id: file.status for file in self.run.client.vector_stores.files.list(self.store, limit=100)}
        living = {file for file, status in statuses.items() if status == "completed"}
        hits = self.run.client.vector_stores.search(self.store, query="Document is called", max_num_results=50).data
        wrong["zombies"] += sum(hit.file_id not in living for hit in hits)
        wrong["zombies"] += len(self.gone & statuses.keys())
        wrong["lost"] += len(set(self.files) - self.gone - self.cancelled - living)
        wrong["lost"] += len(living - {hit.file_id for hit in hits})
        wrong["counts"] += completed != len(living)
        return wrong


DEEDS: Final[dict[str, Callable[[Scene], None]]] = {
    "file cancelled": Scene.cancel_file,
    "batch cancelled": Scene.cancel_batch,
    "file taken out": Scene.take_out,
    "file deleted": Scene.delete_file,
    "store deleted": Scene.delete_store,
}


def interfered(size: Size, chance: random.Random) -> Iterator[Figure]:
    plans = [(chance.choice(list(DEEDS)), chance.uniform(0, LONGEST_SECONDS)) for _ in range(size.times)]
    with parts(workers=WORKERS, bucket=size.bucket) as whole:
        run = Run(whole, chance, size.documents)

        def one(number: int) -> Counter[str]:
            deed, seconds = plans[number]
            files = [run.upload(f"{at}.md", f"Document is called {number} {at}.".encode()) for at in range(FILES)]
            store = run.client.vector_stores.create().id
            batch = run.client.vector_stores.file_batches.create(store, file_ids=files).id
            scene = Scene(run, store, batch, files)
            pause(seconds)
            DEEDS[deed](scene)
            return scene.settle()

        with ThreadPoolExecutor(AT_ONCE) as threads:
            wrong = sum(threads.map(one, range(size.times)), Counter[str]())
        counted = Counter(deed for deed, _ in plans)
        for deed in DEEDS:
            yield Figure(f"F13 {deed}", counted[deed], "times")
        for name in ("zombies", "stuck", "failed", "lost", "counts"):
            yield none(f"F13 {name}", wrong[name], "", f"after {size.times} interleavings")
        yield from remains(whole, "F13")
