"""Outline: which headings a block stands under, and whether one of them is the document's title."""


class Outline:
    """Headings as they come. One tuple is shared by all blocks under the same headings."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []
        self._paths: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._seen: list[tuple[int, str]] = []
        self.path: tuple[str, ...] = ()

    def enter(self, level: int, heading: str) -> tuple[str, ...]:
        """Go under a heading; returns the path above it, which is the heading's own."""
        self.leave(level)
        above = self.path
        self._open.append((level, heading))
        self.path = self._share((*above, heading))
        if len(self._seen) < 2 or level <= self._seen[0][0]:  # enough to know whether the first stands alone on top
            self._seen.append((level, heading))
        return above

    def leave(self, level: int) -> None:
        """What follows stands under no open heading of this level or below."""
        if self._open and self._open[-1][0] >= level:
            while self._open and self._open[-1][0] >= level:
                self._open.pop()
            self.path = self._share(tuple(name for _, name in self._open))

    @property
    def title(self) -> str:
        """The first heading, if no other is as high: a file of many articles has no title."""
        if not self._seen or any(level <= self._seen[0][0] for level, _ in self._seen[1:]):
            return ""
        return self._seen[0][1]

    def _share(self, path: tuple[str, ...]) -> tuple[str, ...]:
        return self._paths.setdefault(path, path)
