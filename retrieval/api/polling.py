"""How soon a client that waits should ask again. Pure.

The SDKs look at the header on the first answer that says `in_progress` and keep to it: little work is asked for
often, much work rarely. They read it as a whole number.
"""

from typing import Final

from starlette.responses import Response

HEADER: Final = "openai-poll-after-ms"
_BY_FILES: Final = ((1, 150), (20, 400), (500, 1000))
_MOST_MILLISECONDS: Final = 2000


def poll_after_milliseconds(files_waiting: int) -> int:
    return next((wait for most, wait in _BY_FILES if files_waiting <= most), _MOST_MILLISECONDS)


def with_poll_hint(answer: Response, files_waiting: int) -> Response:
    if files_waiting:
        answer.headers[HEADER] = str(poll_after_milliseconds(files_waiting))
    return answer
