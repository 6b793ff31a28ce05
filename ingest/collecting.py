"""Python's collector of cycles, set for processes that stay: services, and the children that read documents."""

import gc
from typing import Final

NEW_OBJECTS: Final = 50_000  # opening a store makes as many, and none of them is a cycle


def collect_rarely(new_objects: int = NEW_OBJECTS) -> None:
    """To be called once what stays has been imported and made: it is not looked at again. `new_objects`: between two
    looks.

    As Python sets it, a look comes after 700 new objects and every hundredth is at all there are: a third of the time
    that it takes to open a store of 5,000 documents.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(new_objects, 20, 100)
