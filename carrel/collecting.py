"""Python's collector of cycles, set for processes that run for weeks."""

import gc
from typing import Final

NEW_OBJECTS: Final = 50_000  # between two looks: opening a store makes as many, and none of them is a cycle


def collect_rarely() -> None:
    """To be called once what stays has been imported and made: it is not looked at again.

    As Python sets it, a look comes after 700 new objects and every hundredth is at all there are: a third of the time
    that it takes to open a store of 5,000 documents.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 100)
