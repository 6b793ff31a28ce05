"""The broker where there is none: a folder in which each message is a file.

Kombu's own transport of this kind leaves an empty file where the disk is full, lets a reader see one that is still
being written, and ends whoever reads it. Here a message appears whole or not at all, and what is no message is passed
over. Queues need no table on the disk: whoever sends names the queue.
"""

import json
import math
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from time import monotonic, time_ns
from typing import Any, Final

from kombu.exceptions import ChannelError
from kombu.transport import filesystem, virtual

from retrieval.arrivals import Arrivals

SUFFIX: Final = ".msg"
ANYWAY_SECONDS: Final = 1.0
UNFINISHED: Final = ".new"  # of a message that is being written, or whose writer died


_IN_MEMORY: Final[Any] = virtual.Channel


class Channel(filesystem.Channel):
    def get_table(self, exchange: str) -> Any:
        return _IN_MEMORY.get_table(self, exchange)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Nothing to write down."""

    def _delete(self, queue: str, *_: object, **__: object) -> None:
        """A queue is its messages, and they are kept."""

    def _put(self, queue: str, payload: object, **_: Any) -> None:  # type: ignore[override]  # Kombu's own two differ
        name = f"{time_ns():020}_{uuid.uuid4()}.{queue}{SUFFIX}"  # names sort as their times do
        folder = Path(self.data_folder_out)
        unfinished = Path(self.processed_folder, f"{name}{UNFINISHED}")  # where old files are swept
        try:
            unfinished.write_text(json.dumps(payload))
            unfinished.rename(folder / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ChannelError(f"no message can be added to {folder}: {error.strerror}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 - Kombu's own signature
        answered = Path(self.processed_folder)
        for name in sorted(path.name for path in Path(self.data_folder_in).iterdir()):
            if name.partition(".")[2] != f"{queue}{SUFFIX}":
                continue
            try:
                # Whoever renames it has it; to a name of its own, so that nobody else's is overwritten.
                taken = Path(self.data_folder_in, name).rename(answered / name)
                return json.loads(taken.read_bytes())
            except (OSError, ValueError):  # somebody else was quicker, or it is no message
                continue
        raise Empty


class Transport(filesystem.Transport):
    """Looks into the folder only once something came: an idle worker costs next to nothing."""

    Channel = Channel

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self._folder: str = client.transport_options["data_folder_in"]
        self._arrivals: Arrivals | None = None  # for whoever listens; most only send

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        until = monotonic() + timeout if timeout is not None else math.inf
        arrivals = self._arrivals = self._arrivals or Arrivals(self._folder, self.polling_interval)
        while True:
            arrivals.forget()
            with suppress(TimeoutError):
                super().drain_events(connection, timeout=0)  # type: ignore[no-untyped-call]
                return
            arrivals.wait(min(until, monotonic() + ANYWAY_SECONDS))
            if monotonic() >= until:
                raise TimeoutError

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        if self._arrivals is not None:
            self._arrivals.close()
            self._arrivals = None
