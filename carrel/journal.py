"""The log while a person looks on: what all parts write goes to a file in the data folder, rotated and bounded.

Where no terminal is attached, the parts write to standard error themselves, and whoever started the service keeps it.
"""

import logging
import os
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, Self

FILE: Final = Path("logs", "carrel.log")
FILE_BYTES: Final = 10 << 20
OLD_FILES: Final = 4


class Journal:
    """A pipe for children to write into, and a thread that keeps the lines."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = RotatingFileHandler(self.path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
        reading, self.descriptor = os.pipe()
        self._thread = threading.Thread(target=self._keep, args=(reading,), name="journal", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Once all children have ended: the pipe is at its end then."""
        os.close(self.descriptor)
        self._thread.join(5)
        self._file.close()

    def _keep(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._file.emit(logging.makeLogRecord({"msg": line.rstrip("\n")}))
