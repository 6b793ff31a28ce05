"""Exit codes: what a script may conclude from how a command ended. docs/cli.md has the same table, held by a test.

Where the system has a code for it (sysexits.h), that one is used.
"""

from enum import IntEnum


class Exit(IntEnum):
    meaning: str

    def __new__(cls, value: int, meaning: str) -> "Exit":
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DONE = 0, "Done; nothing is wrong."
    INCOMPLETE = 1, "It ran, and not all of it succeeded: files failed, a check found a problem, nothing was confirmed."
    USAGE = 2, "The words or options are wrong."
    REFUSED = 65, "The server refused the request as it is; the message says which part."
    NOT_FOUND = 66, "There is no such file, store, batch, key or path."
    UNAVAILABLE = 69, "The server does not answer, or says that it cannot work just now."
    SERVER_FAILED = 70, "The server failed; its log says why."
    TRY_LATER = 75, "In use by another process, or over a limit that passes by itself."
    NOT_CARREL = 76, "Something answered that does not speak this API."
    NO_PERMISSION = 77, "The key is missing, unknown or may not do this."
    SETTINGS = 78, "The settings cannot be used, the port is taken, or the model is missing."
    INTERRUPTED = 130, "Ctrl-C."


def of_status(status: int) -> Exit:
    """The exit code that follows from an HTTP status. Pure."""
    match status:
        case 401 | 403:
            return Exit.NO_PERMISSION
        case 404:
            return Exit.NOT_FOUND
        case 429:
            return Exit.TRY_LATER
        case 502 | 503 | 504 | 507:
            return Exit.UNAVAILABLE
        case _:
            return Exit.SERVER_FAILED if status >= 500 else Exit.REFUSED
