"""What is wrong with an archive, in words for whoever brought it."""

from retrieval.errors import InvalidInput


class ArchiveRefused(InvalidInput):
    """Nothing of it was taken; importing the same bytes again would fail in the same way."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="file_id", code="invalid_archive")
