"""Documents read in processes that may be killed: a hostile one costs a child, never the worker.

The child is taken to be in the document's hands from the first byte on. It gets one open file and its name, no
keys and no environment; what it answers is data that is checked, never code.
"""

from ingest.children.pool import Attempt, ChildPool, Reading

__all__ = ["Attempt", "ChildPool", "Reading"]
