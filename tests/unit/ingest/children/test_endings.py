"""How a child ended, and whose fault that was."""

import signal

import pytest

from ingest.children.endings import Ending, Way, judge
from ingest.errors import ChildDied, DamagedDocument, DocumentTooLarge
from ingest.parsing.limits import MEBIBYTE, Limits

LIMITS = Limits(memory_bytes=1000 * MEBIBYTE, cpu_seconds=30, wall_seconds=100)
CAP = LIMITS.memory_bytes


@pytest.mark.parametrize(
    ("ending", "error", "words", "confirm"),
    [
        (Ending(Way.SIGNALLED, signal.SIGXCPU), DocumentTooLarge, "30 CPU seconds", False),
        (Ending(Way.SIGNALLED, signal.SIGKILL), ChildDied, "from outside", False),
        (Ending(Way.SIGNALLED, signal.SIGTERM), ChildDied, "from outside", False),
        (Ending(Way.SIGNALLED, 63), ChildDied, "from outside", False),
        (Ending(Way.SIGNALLED, signal.SIGSEGV), DamagedDocument, "crashes", True),
        (Ending(Way.SIGNALLED, signal.SIGSEGV, peak_bytes=CAP // 2), DamagedDocument, "crashes", True),
        (Ending(Way.SIGNALLED, signal.SIGABRT, peak_bytes=CAP * 9 // 10), DocumentTooLarge, "1,000 MiB", True),
        (Ending(Way.EXITED, 1), DamagedDocument, "crashes", True),
        (Ending(Way.GARBLED), DamagedDocument, "crashes", True),
        (Ending(Way.STOPPED), ChildDied, "stopped", False),
        (Ending(Way.OVERTIME, cpu_seconds=99.0), DocumentTooLarge, "100 seconds", False),
        (Ending(Way.OVERTIME, cpu_seconds=2.0), ChildDied, "overloaded", False),
        (Ending(Way.OVERTIME, cpu_seconds=None), DocumentTooLarge, "100 seconds", False),
    ],
)
@pytest.mark.parametrize("new_child", [True, False])
def test_an_ending_has_one_culprit(
    ending: Ending, error: type[Exception], words: str, confirm: bool, new_child: bool
) -> None:
    verdict = judge(ending, LIMITS, new_child=new_child)
    assert type(verdict.error) is error
    assert words in str(verdict.error)
    assert verdict.confirm is confirm


@pytest.mark.parametrize("new_child", [True, False])
def test_exhausted_memory_is_believed_of_a_new_child_only(new_child: bool) -> None:
    verdict = judge(Ending(Way.EXHAUSTED), LIMITS, new_child=new_child)
    assert isinstance(verdict.error, DocumentTooLarge)
    assert verdict.confirm is not new_child
