"""Which items of a source are taken: patterns as in .gitignore, relative to the source. Pure."""

from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from retrieval.errors import InvalidInput

HIDDEN = ".*"  # what is left out unless the caller says otherwise: names that begin with a dot


def checked_patterns(given: Sequence[str], param: str) -> tuple[str, ...]:
    for at, pattern in enumerate(given):
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise InvalidInput(
                f"Invalid value for '{param}[{at}]': {pattern!r} is not a pattern as in .gitignore.",
                param=f"{param}[{at}]",
                code="invalid_value",
            ) from error
    return tuple(given)


class Selection:
    """An item is taken if a pattern of `include` matches it (none: all) and none of `exclude` does."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = GitIgnoreSpec.from_lines(include) if include else None
        self._hidden = HIDDEN in exclude  # by far the most usual pattern, and the cheapest to decide without one
        rest = [pattern for pattern in exclude if pattern != HIDDEN]
        self._exclude = GitIgnoreSpec.from_lines(rest) if rest else None

    def takes(self, path: str) -> bool:
        if self._hidden and (path.startswith(".") or "/." in path):
            return False
        if self._include is not None and not self._include.match_file(path):
            return False
        return self._exclude is None or not self._exclude.match_file(path)

    def enters(self, folder: str) -> bool:
        """Whether anything below could be taken; a folder that is left out is not even opened."""
        if self._hidden and (folder.startswith(".") or "/." in folder):
            return False
        return self._exclude is None or not self._exclude.match_file(f"{folder}/")
