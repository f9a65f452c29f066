"""Formats numbers for readers. Shares are 0 to 1 everywhere in the program; only this file converts them to %.

± is half the width of a 95 % interval; it is rounded to two significant digits, and the value to the same number of
decimals. MB is 10^6 bytes. The minus sign is ASCII."""

from datetime import UTC, datetime
from math import floor, isfinite, log10

from transfer_cli.analysis.statistics import Interval

NOISE = 1e-9  # a smaller half width is the rounding error of equal values
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def decimals(half: float) -> int:
    """Decimals that show two significant digits of `half`.

    >>> [decimals(half) for half in (12.3, 9.96, 1.3, 0.54, 0.041)]
    [0, 0, 1, 2, 3]"""
    if not isfinite(half) or half < NOISE:
        return 1
    return max(0, 1 - floor(log10(float(f"{half:.1e}"))))


def plus_minus(interval: Interval, scale: float = 1.0) -> str:
    """`92.1 ±1.3`; without a finite half width, the value alone.

    >>> plus_minus(Interval(0.921, 0.908, 0.934), scale=100)
    '92.1 ±1.3'"""
    value, half = interval.value * scale, interval.half * scale
    if not isfinite(half):
        return percent(interval.value) if scale == 100 else plain(value)
    places = decimals(half)
    return f"{value:.{places}f} ±{half:.{places}f}"


def signed(interval: Interval, scale: float = 1.0) -> str:
    """A difference: `plus_minus` with an explicit sign, `+18.9 ±2.6`."""
    text = plus_minus(interval, scale)
    return text if text.startswith("-") else f"+{text}"


def p_value(p: float) -> str:
    """`<.001`, `.004`, `.049`, `.37`: a third digit only below .01 and near .05.

    >>> [p_value(p) for p in (0.0004, 0.0041, 0.0494, 0.061, 0.37, 1.0)]
    ['<.001', '.004', '.049', '.06', '.37', '1']"""
    if p < 0.001:
        return "<.001"
    places = 3 if p < 0.01 or 0.045 <= p < 0.055 else 2
    return f"{p:.{places}f}".lstrip("0") if p < 0.995 else "1"


def percent(share: float) -> str:
    """A share in percent, with one decimal and without the % sign: 0.987 is `98.7`."""
    return f"{100 * share:.1f}"


def plain(value: float) -> str:
    """Three significant digits: `0.613`, `12.4`, `1,240`. Only values below 1e-4 use an exponent: `1.2e-05`."""
    if not isfinite(value):
        return str(value)
    if value and abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.{max(0, 2 - _exponent(value))}f}"


def count(number: int) -> str:
    return f"{number:,}"


def short(number: float) -> str:
    """Two digits and a letter: `812`, `3.1 k`, `1.2 M`, `11 M`.

    >>> short(999_950)
    '1.0 M'"""
    for size, letter in UNITS:
        if number >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.1f} {letter}" if scaled < 9.95 else f"{scaled:.0f} {letter}"
    return f"{number:.0f}"


def size(nbytes: float) -> str:
    """`812 B`, `20 kB`, `4.9 MB`, `0.9 GB`. The next unit begins at 0.9, because 0.9 GB is more usual than 900 MB."""
    for unit, letter in UNITS:
        if nbytes >= unit * 0.9:
            scaled = nbytes / unit
            return f"{scaled:.1f} {letter}B" if scaled < 9.95 else f"{scaled:.0f} {letter}B"
    return f"{nbytes:.0f} B"


def duration(seconds: float) -> str:
    """A duration: `0.4 s` below one second, else two units: `0m 12s`, `2m 41s`, `1h 05m`, `2d 03h`."""
    if round(seconds, 1) < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, part, text in ((86400, 3600, "{}d {:02}h"), (3600, 60, "{}h {:02}m")):
        if whole >= unit:
            return text.format(whole // unit, whole % unit // part)
    return f"{whole // 60}m {whole % 60:02}s"


def about(seconds: float) -> str:
    """An estimated duration: `~2 s`, `~11 min`, `~1h 05m`."""
    if seconds < 90:
        return f"~{max(1, round(seconds))} s"
    return f"~{round(seconds / 60)} min" if seconds < 3600 else f"~{duration(seconds)}"


def ago(moment: datetime, now: datetime) -> str:
    """`12 min ago`, `yesterday`; after a week the date. Both times need a time zone."""
    seconds = (now - moment).total_seconds()
    days = (now.date() - moment.date()).days
    if seconds < 90:
        return "just now"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 86400 and days < 2:
        return f"{round(seconds / 3600)} h ago"
    if days == 1:
        return "yesterday"
    return f"{days} days ago" if days < 7 else moment.date().isoformat()


def utc(stamp: str) -> datetime:
    """Parses a time of results.json: ISO 8601 with `Z` or an offset; without either it is UTC."""
    moment = datetime.fromisoformat(stamp)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _exponent(value: float) -> int:
    return floor(log10(abs(float(f"{value:.2e}")))) if value else 0
