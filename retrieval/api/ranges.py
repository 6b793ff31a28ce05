"""The header `Range`: which bytes of a file are asked for. Pure."""

import re

_ONE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\Z")


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) to answer with; the whole for what is no single range (as a server may); None: not satisfiable."""
    match = _ONE.match((header or "").replace(" ", ""))
    if match is None:
        return 0, size
    first, last, tail = match.groups()
    if tail is not None:
        return None if int(tail) == 0 or size == 0 else (max(size - int(tail), 0), size)
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return 0, size  # not a range at all, says the standard
    return None if start >= size else (start, stop)
