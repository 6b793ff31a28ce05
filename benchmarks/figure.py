"""One measured figure, and the table of many."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is value over the yardstick `against`, taken in the same run; `target` is what was promised."""

    name: str
    value: float | str
    unit: str = ""
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "value", "unit", "against", "ratio", "target", "met")]
    rows += [
        (
            figure.name,
            figure.value if isinstance(figure.value, str) else f"{figure.value:,.4g}",
            figure.unit,
            figure.against,
            "" if figure.ratio is None else f"{figure.ratio:.3g}",
            figure.target,
            {None: "", True: "yes", False: "NO"}[figure.met],
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
