"""How a child ended -> whose fault it was, and what to tell the person who uploaded the file. Pure.

A child that crashed, ran out of memory or answered nonsense may have been worn by an earlier document. So such a
verdict is confirmed: the document is read once more, in a new child that has seen nothing else.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from ingest.errors import ChildDied, DamagedDocument, DocumentTooLarge, IngestError
from ingest.parsing.limits import MEBIBYTE, Limits

NEAR_THE_CAP = 0.6  # what is resident when address space runs out: the rest is mapped and not touched
CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)


class Way(StrEnum):
    EXITED = "exited"
    SIGNALLED = "signalled"
    OVERTIME = "overtime"  # killed by us
    STOPPED = "stopped"  # killed by us, because the pool was closed
    GARBLED = "garbled"  # killed by us, because its answer was none
    EXHAUSTED = "exhausted"  # said itself that memory ran out


@dataclass(frozen=True, slots=True)
class Ending:
    way: Way
    number: int = 0  # exit status or signal
    cpu_seconds: float | None = None  # spent on this document; None where the system does not tell
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    error: IngestError
    confirm: bool  # read the document again, in a new child, before believing it


def judge(ending: Ending, limits: Limits, *, new_child: bool) -> Verdict:
    """`new_child`: the child had read nothing before this document."""
    match ending.way:
        case Way.STOPPED:
            return Verdict(ChildDied("The service was stopped while it read this file."), confirm=False)
        case Way.OVERTIME:
            return Verdict(_overtime(ending, limits), confirm=False)
        case Way.EXHAUSTED:
            return Verdict(_too_much_memory(limits), confirm=not new_child)
        case Way.SIGNALLED if ending.number == signal.SIGXCPU:
            return Verdict(_too_much_cpu(limits), confirm=False)
        case Way.SIGNALLED if ending.number not in CRASHES:
            name = signal.strsignal(ending.number) or str(ending.number)
            return Verdict(
                ChildDied(f"The process that read this file was killed from outside ({name})."), confirm=False
            )
        case _:
            return Verdict(_crash(ending, limits), confirm=True)


def _too_much_memory(limits: Limits) -> IngestError:
    megabytes = limits.memory_bytes // MEBIBYTE
    return DocumentTooLarge(f"This file needs more than {megabytes:,} MiB of memory to read; split it into parts.")


def _too_much_cpu(limits: Limits) -> IngestError:
    return DocumentTooLarge(
        f"This file needs more than {limits.cpu_seconds:,} CPU seconds to read; split it into parts."
    )


def _overtime(ending: Ending, limits: Limits) -> IngestError:
    """A child that computed all the while was busy with the document; one that did not was kept from its work."""
    spent = limits.wall_seconds if ending.cpu_seconds is None else ending.cpu_seconds
    if spent >= limits.wall_seconds / 2:
        return DocumentTooLarge(f"This file was not read after {limits.wall_seconds:,} seconds; split it into parts.")
    return ChildDied(
        f"This file was not read after {limits.wall_seconds:,} seconds, of which {spent:.0f} were spent computing: "
        "the machine is overloaded."
    )


def _crash(ending: Ending, limits: Limits) -> IngestError:
    if ending.peak_bytes is not None and ending.peak_bytes >= NEAR_THE_CAP * limits.memory_bytes:
        return _too_much_memory(limits)  # C libraries abort where Python raises MemoryError
    return DamagedDocument(
        "This file crashes the reader of its format, each time it is tried. It is damaged, or built to do so."
    )
