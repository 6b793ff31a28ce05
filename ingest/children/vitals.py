"""What the kernel says of another process: memory, its peak, and CPU time. Linux only; None elsewhere."""

import os
from dataclasses import dataclass
from pathlib import Path

KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Vitals:
    resident_bytes: int
    peak_bytes: int  # the most that was resident since `forget_peak`
    cpu_seconds: float


def read_vitals(pid: int) -> Vitals | None:
    """None for a process that has ended, and on a system without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        statistics = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    kibibytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if name in {"VmRSS", "VmHWM"}
    }
    if len(kibibytes) < 2:  # a zombie has no memory
        return None
    fields = statistics.rpartition(")")[2].split()  # the name before it may hold anything
    ticks = int(fields[11]) + int(fields[12])
    return Vitals(
        resident_bytes=kibibytes["VmRSS"] * KIBIBYTE,
        peak_bytes=kibibytes["VmHWM"] * KIBIBYTE,
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
    )


def forget_peak(pid: int) -> bool:
    """Let the peak begin anew at what is resident now."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True
