"""Token ids -> the text that they stand for: some callers send their texts already tokenised, by cl100k_base."""

import threading
from collections.abc import Sequence

from ingest.chunking.tokens import Tokenizer


class TokenIds:
    """Reads the table when it is first needed: most processes never are sent ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _tokenizer
        self._tokenizer: Tokenizer | None = None

    def text(self, ids: Sequence[int]) -> str:
        """Raises ValueError for a number that is no token."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = Tokenizer()
        return self._tokenizer.decode(ids)
