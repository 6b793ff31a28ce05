"""What the kernel says of a process: memory, its peak, and CPU time. Linux only; None elsewhere."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

KIBIBYTE = 1024
MEMORY = re.compile(rb"^VmHWM:\s*(\d+) kB\nVmRSS:\s*(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Vitals:
    resident_bytes: int
    peak_bytes: int  # the most that was resident since `forget_peak`
    cpu_seconds: float


def read_vitals(pid: int) -> Vitals | None:
    """None for a process that has ended, and on a system without /proc."""
    try:
        memory = MEMORY.search(Path(f"/proc/{pid}/status").read_bytes())
        statistics = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    if memory is None:  # a zombie has none
        return None
    fields = statistics.rpartition(")")[2].split()  # the name before it may hold anything
    ticks = int(fields[11]) + int(fields[12])
    return _vitals(memory, ticks / os.sysconf("SC_CLK_TCK"))


class OwnVitals:
    """This process's. Its file is kept open, for it is read after every document."""

    def __init__(self) -> None:
        try:
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._status = -1

    def read(self) -> Vitals | None:
        memory = MEMORY.search(os.pread(self._status, 4096, 0)) if self._status >= 0 else None
        return None if memory is None else _vitals(memory, time.process_time())


def _vitals(memory: re.Match[bytes], cpu_seconds: float) -> Vitals:
    peak, resident = memory.groups()
    return Vitals(int(resident) * KIBIBYTE, int(peak) * KIBIBYTE, cpu_seconds)


def forget_peak(pid: int) -> bool:
    """Let the peak begin anew at what is resident now."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True
