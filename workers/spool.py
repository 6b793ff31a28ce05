"""The folder that is the broker where there is none: messages that have been answered lie in it until they are old."""

import time
from pathlib import Path
from typing import Final

KEPT_SECONDS: Final = 60  # nobody reads them; a person may want to


def empty(answered: Path, *, kept_seconds: float = KEPT_SECONDS) -> int:
    """Delete what is older; how many went. Two may do so at once."""
    before, gone = time.time() - kept_seconds, 0
    if not answered.is_dir():
        return 0
    for message in answered.iterdir():
        try:
            if message.stat().st_mtime < before:
                message.unlink()
                gone += 1
        except FileNotFoundError:
            continue
    return gone
