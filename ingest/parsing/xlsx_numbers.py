"""Numbers of a workbook as its reader sees them: dates, times and percentages by their format, the rest plain.

Figures are not rounded to the format's places: a search for the exact figure should find it.
"""

import re
from datetime import datetime, timedelta
from enum import Enum, auto

from lxml import etree

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
EPOCH_1900 = datetime(1899, 12, 30)  # noqa: DTZ001 - sheets know no time zones
EPOCH_1904 = datetime(1904, 1, 1)  # noqa: DTZ001 - likewise
LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
MOST_DAYS = 2_958_466  # the first day of the year 10000


class Format(Enum):
    PLAIN = auto()
    DATE = auto()
    TIME = auto()
    MOMENT = auto()
    DURATION = auto()
    PERCENT = auto()


BUILT_IN = {
    9: Format.PERCENT,
    10: Format.PERCENT,
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 59)), Format.DATE),
    **dict.fromkeys((*range(18, 22), 32, 33, 34, 35, 45, 47), Format.TIME),
    22: Format.MOMENT,
    46: Format.DURATION,
}


def cell_formats(styles: etree._Element | None) -> list[Format]:
    """The kind of number each cell style shows, by the style's position."""
    if styles is None:
        return []
    codes = {entry.get("numFmtId", ""): entry.get("formatCode", "") for entry in styles.iter(f"{S}numFmt")}
    styled = styles.find(f"{S}cellXfs")
    return [_format_of(entry.get("numFmtId", "0"), codes) for entry in styled] if styled is not None else []


def _format_of(identity: str, codes: dict[str, str]) -> Format:
    if identity in codes:
        return read_code(codes[identity])
    return BUILT_IN.get(int(identity), Format.PLAIN) if identity.isascii() and identity.isdigit() else Format.PLAIN


def read_code(code: str) -> Format:
    """What a format code such as `[$-409]d-mmm-yy;@` makes of a number."""
    bare = LITERALS.sub("", code.partition(";")[0]).casefold()
    if "%" in bare:
        return Format.PERCENT
    if "general" in bare:
        return Format.PLAIN
    if "[" in bare:
        return Format.DURATION
    day = "y" in bare or "d" in bare or ("m" in bare and "h" not in bare and "s" not in bare)
    time = "h" in bare or "s" in bare
    if day and time:
        return Format.MOMENT
    return Format.DATE if day else Format.TIME if time else Format.PLAIN


def written(value: str, number_format: Format, epoch: datetime) -> str:
    """`value` is the number as stored; what is no number stays as it is."""
    if number_format is Format.PLAIN and len(value) < 16 and "E" not in value.upper():
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if number_format is Format.PLAIN:
        return plain(number)
    if number_format is Format.PERCENT:
        return f"{plain(float(f'{number * 100:.10g}'))}%"
    if number_format is Format.DURATION:
        minutes, seconds = divmod(round(abs(number) * 86_400), 60) if abs(number) < MOST_DAYS else (0, 0)
        return f"{'-' if number < 0 else ''}{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    if not 0 <= number < MOST_DAYS:
        return value
    return _moment(number, number_format, epoch)


def plain(number: float) -> str:
    """Fifteen digits, as sheets show them: 0.1 + 0.2 is 0.3."""
    text = f"{number:.15g}"
    return str(int(number)) if "e" in text and number.is_integer() and abs(number) < 1e21 else text


def _moment(number: float, number_format: Format, epoch: datetime) -> str:
    # Sheets believe in a 29 February 1900: before it every date is one day late.
    days = number + 1 if epoch is EPOCH_1900 and 1 <= number < 60 else number
    try:
        moment = epoch + timedelta(seconds=round(days * 86_400))
    except OverflowError:
        return plain(number)
    if number_format is Format.TIME:
        return moment.strftime("%H:%M:%S")
    if number_format is Format.DATE and moment.time() == datetime.min.time():
        return moment.date().isoformat()
    return moment.isoformat(sep=" ")
