"""Range: the bounds of a number, written into signatures as `Annotated[float, Range(0, 1)]`.
Imported by everything that takes settings; imports nothing."""

from typing import NamedTuple


class Range(NamedTuple):
    """Closed interval of allowed numbers; None leaves an end open. `above=True` leaves `low` itself out."""

    low: float | None = None
    high: float | None = None
    above: bool = False
