"""Strings and paths of strings, each kept once and named by a number; 0 is the empty one of either."""


class Strings:
    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._paths: dict[tuple[int, ...], int] = {(): 0}

    @property
    def strings(self) -> list[str]:
        return list(self._strings)

    @property
    def paths(self) -> list[tuple[int, ...]]:
        return list(self._paths)

    def string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def path(self, parts: tuple[str, ...]) -> int:
        if not parts:
            return 0
        return self._paths.setdefault(tuple(map(self.string, parts)), len(self._paths))
