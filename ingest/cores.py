"""How many cores this process may use: fewer than the machine has, where a container or `taskset` says so."""

import os


def usable_cores() -> int:
    """At least one. Only Linux tells what one process may use; elsewhere it is what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
