"""A process of the service that ends with its parent."""

import os
import signal
import threading
import time
from typing import Annotated, Final

import typer

LAST_SECONDS: Final = 10.0  # for an orderly end without a parent

TiedOption = Annotated[bool, typer.Option("--tied", hidden=True, help="End when standard input ends.")]


def tie(tied: bool) -> None:
    """End with the parent, also when it is killed and can tell nobody: its end of our standard input closes then."""
    if not tied:
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="tied to the parent", daemon=True).start()
