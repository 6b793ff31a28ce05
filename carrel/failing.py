"""How a command ends that cannot do what was asked: a sentence for a person, and the exit code that follows."""

from carrel.exits import Exit


class ServerError(Exception):
    def __init__(
        self,
        message: str,
        *,
        exit_code: Exit,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.exit_code = message, exit_code
        self.code, self.status, self.param = code, status, param
