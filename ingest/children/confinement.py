"""What a child gives up before it sees a document. Called in the child only.

Linux enforces all of it. Elsewhere an orphaned child ends at the end of its document (it finds its socket closed)
or of its CPU seconds, and memory is bounded only as far as the system honours RLIMIT_AS.
"""

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
from pathlib import Path

from ingest.parsing.limits import Limits

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 32


def die_with(parent_pid: int) -> None:
    """From here on the parent's end, also by SIGKILL, is ours. Exits at once if the parent is gone already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def confine(limits: Limits) -> None:
    """Memory bounded, nothing written, hardly a file opened, no process started, no core left behind.

    Memory is bounded by address space: RLIMIT_DATA lets shared mappings through, and with it the resident size
    was measured to pass the cap. What is mapped and never touched counts too, some 150 MiB for the libraries.
    """
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # when memory runs out, the kernel should take the child, not the worker
            Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def allow_cpu(seconds: int) -> None:
    """So many seconds from now; then SIGXCPU ends us, also in the middle of a C library."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(usage.ru_utime + usage.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _lower(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with contextlib.suppress(ValueError, OSError):  # a system that knows this limit by name only
        resource.setrlimit(which, (most, most))
