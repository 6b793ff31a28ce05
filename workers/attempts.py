"""The one place where work meets whatever may go wrong in it: an attempt ends with what it made or with why it did not.

What follows is said by `verdicts`. Whoever holds a claim must come to that, whatever it was: what he holds would
otherwise wait for its lease to end, and look as if its worker had died.
"""

from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def attempted(act: Callable[[], Made]) -> tuple[Made | None, Exception | None]:
    try:
        return act(), None
    except Exception as error:  # noqa: BLE001 - see above
        return None, error
