"""What can go wrong between parent and child; none of it leaves this room.

Garbled         the other side sent what is no answer
ChildGone       the child ended, or was ended, before it answered
"""

from ingest.children.endings import Ending


class Garbled(Exception):
    """A frame that breaks the protocol: the child's memory is not what it was."""


class ChildGone(Exception):
    def __init__(self, ending: Ending) -> None:
        super().__init__(str(ending.way))
        self.ending = ending
