"""One line on the terminal of `carrel serve` that tells how ingestion goes; nothing while nothing waits."""

import threading
import time
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from retrieval.catalog.progress import Backlog
from retrieval.catalog.transaction import Catalog
from retrieval.errors import RetrievalError

LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 4.0
RATE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Look:
    at: float
    backlog: Backlog


class Lookout:
    """Compares what was with what is. Rates are those of the last seconds."""

    def __init__(self) -> None:
        self._begun: Look | None = None
        self._looks: list[Look] = []

    def sentence(self, look: Look) -> str | None:
        """None while nothing waits; once more when the last file has settled."""
        waiting = look.backlog.waiting
        if self._begun is None:
            self._looks = [look]
            if not waiting:
                return None
            self._begun = look
        self._looks = [one for one in self._looks if look.at - one.at <= RATE_SECONDS] + [look]
        settled = max(0, look.backlog.settled - self._begun.backlog.settled)
        if not waiting:
            begun, self._begun = self._begun, None
            return f"{settled:,} files done in {look.at - begun.at:.0f} s"
        first = self._looks[0]
        passed = max(look.at - first.at, 0.001)
        chunks = max(0, look.backlog.chunks - first.backlog.chunks) / passed
        return f"{waiting:,} files waiting, {settled:,} done, {chunks:,.0f} chunks/s"


def watch(catalog: Catalog, console: Console, stopping: threading.Event) -> None:
    """Until the service stops."""
    lookout = Lookout()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        pause = 0.0
        while not stopping.wait(pause):
            try:
                with catalog.reading() as tx:
                    backlog = tx.progress.of_all()
            except RetrievalError:
                pause = IDLE_SECONDS
                continue
            told = lookout.sentence(Look(time.monotonic(), backlog))
            live.update(Text(told or "", "dim"), refresh=True)
            if told is not None and not backlog.waiting:
                live.update(Text(""), refresh=True)
                console.print(Text(told, "dim"))
            pause = LOOK_SECONDS if backlog.waiting else IDLE_SECONDS
