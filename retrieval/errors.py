"""What can go wrong between a stored chunk and a ranked hit, and who can do something about it.

RetrievalError
├── CallerError               the request is to blame; `message`, `param` and `code` go to the caller
│   ├── NotFound              no such object in the caller's project
│   ├── InvalidInput          a value that cannot be accepted, and where it stands
│   │   └── UnknownParameter   a name that means nothing here, and the one that may have been meant
│   ├── NotAllowedNow         right in itself, but not in the object's present state
│   ├── TooLarge              more bytes than a limit allows
│   ├── NotAuthenticated      no key, or a wrong one
│   ├── NotPermitted          a good key without the right
│   ├── QuotaExceeded         too much, too fast: come back later
│   └── StorageQuotaReached   the project keeps as many bytes as it may
├── StorageError              blobs, segments and indexes
│   ├── ObjectMissing         no such object in storage
│   ├── ObjectExists          a conditional create met an object of that name
│   ├── StorageFull           no room left: intake pauses until there is
│   ├── StorageUnavailable    the bucket or the disk does not answer
│   ├── SegmentDamaged        a segment's bytes disagree with its row
│   └── IndexDamaged          an index's bytes disagree with its row: it is dropped and rebuilt
└── CatalogError              the database
    ├── CatalogUnavailable    it does not answer, or is locked for too long
    ├── CatalogTooNew         its schema was written by a later release
    ├── CatalogDamaged        a row breaks a rule of the schema, or the file is not a database: a person must look
    └── LeaseLost             the claim was taken over: nothing of this attempt may be published
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from retrieval.ids import SegmentId

LONGEST_COMPARED = 100  # characters of an unknown name; to compare millions takes seconds


class RetrievalError(Exception):
    """Root of the tree."""


class CallerError(RetrievalError):
    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class NotFound(CallerError):
    pass


class InvalidInput(CallerError):
    pass


class UnknownParameter(InvalidInput):
    def __init__(self, path: str, known: Collection[str]) -> None:
        """`known`: the names that could stand in the place of the last one of `path`."""
        name = path.rpartition(".")[2][:LONGEST_COMPARED]
        near = get_close_matches(name, known, n=1)
        names = ", ".join(f"'{one}'" for one in known)
        advice = f" Perhaps '{near[0]}' was meant." if near else f" Known here: {names}." if known else ""
        super().__init__(f"Unknown parameter: '{path}'.{advice}", param=path, code="unknown_parameter")


class NotAllowedNow(CallerError):
    pass


class TooLarge(CallerError):
    pass


class NotAuthenticated(CallerError):
    pass


class NotPermitted(CallerError):
    pass


class QuotaExceeded(CallerError):
    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        code: str = "rate_limit_exceeded",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds
        self.headers = dict(headers or {})  # how far the caller has come


class StorageQuotaReached(CallerError):
    """Waiting does not help; deleting files does."""

    def __init__(self, *, most: int, stored: int) -> None:
        super().__init__(
            f"The project may keep {most} bytes of files and would have {stored}."
            " Delete files, or have the limit raised.",
            code="insufficient_quota",
        )


class StorageError(RetrievalError):
    pass


class ObjectMissing(StorageError):
    pass


class ObjectExists(StorageError):
    pass


class StorageFull(StorageError):
    pass


class StorageUnavailable(StorageError):
    pass


class SegmentDamaged(StorageError):
    """A segment's bytes disagree with its catalog row; rebuild it, never patch it."""

    def __init__(self, segment: SegmentId, reason: str) -> None:
        super().__init__(f"segment {segment}: {reason}")
        self.segment = segment


class IndexDamaged(StorageError):
    """An index's bytes disagree with its catalog row; search goes on without it until it is rebuilt."""


class CatalogError(RetrievalError):
    pass


class CatalogUnavailable(CatalogError):
    pass


class CatalogTooNew(CatalogError):
    pass


class CatalogDamaged(CatalogError):
    """Our bug or a damaged database; the transaction it came up in has left no trace."""


class LeaseLost(CatalogError):
    pass
