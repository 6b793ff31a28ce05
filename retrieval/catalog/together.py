"""Together: writers of one project who come at the same moment share a transaction, and so its commit.

    row = catalog.together(project, lambda tx: tx.files.add(project, file, now))

Whoever has the turn carries all who wait. Nobody is answered before the commit. If the database fails, all who were
carried are told. If the work of one fails, the transaction leaves no trace, and all do their own again in transactions
of their own, so that only the one at fault is told: what is to be done may therefore be done twice.

Of one project, since writers lock its row: transactions over several would wait for each other in a circle.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from retrieval.errors import CatalogUnavailable, RetrievalError
from retrieval.ids import ProjectId

Tx = TypeVar("Tx")
Result = TypeVar("Result")


class _Share(Generic[Tx, Result]):
    """What one caller wants done, and what has come of it."""

    def __init__(self, act: Callable[[Tx], Result]) -> None:
        self.act = act
        self.taken = False
        self.results: list[Result] = []  # one, once it is committed
        self.failure: CatalogUnavailable | None = None


class _Project:
    def __init__(self) -> None:
        self.waiting: deque[_Share[Any, Any]] = deque()
        self.turn = threading.Lock()  # held by who carries; the database's timeouts bound for how long


class Together(Generic[Tx]):
    """Safe for threads."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Tx]]) -> None:
        self._transaction = transaction
        self._projects: WeakValueDictionary[ProjectId, _Project] = WeakValueDictionary()  # those with callers in here
        self._lock = threading.Lock()  # guards _projects

    def write(self, project: ProjectId, act: Callable[[Tx], Result]) -> Result:
        with self._lock:
            here = self._projects.setdefault(project, _Project())
        share = _Share(act)
        here.waiting.append(share)
        with here.turn:
            if not share.taken:
                shares = [here.waiting.popleft() for _ in range(len(here.waiting))]
                for one in shares:
                    one.taken = True
                if len(shares) == 1:
                    return self._alone(act)
                self._carry(shares)
        if share.results:
            return share.results[0]
        if share.failure is not None:
            raise CatalogUnavailable(str(share.failure)) from share.failure
        return self._alone(act)

    def _alone(self, act: Callable[[Tx], Result]) -> Result:
        with self._transaction() as tx:
            return act(tx)

    def _carry(self, shares: Sequence[_Share[Tx, Any]]) -> None:
        try:
            with self._transaction() as tx:
                results = [share.act(tx) for share in shares]
        except CatalogUnavailable as failure:  # whether it was committed is not known: nobody may do it again
            for share in shares:
                share.failure = failure
        except (RetrievalError, ValueError):
            return  # one of them is to blame, or a bug of ours: it will be told to whom it concerns
        else:
            for share, result in zip(shares, results, strict=True):
                share.results.append(result)
