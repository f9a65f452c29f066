"""Range: the bounds of a numeric setting, written in signatures as `Annotated[float, Range(0, 1)]`."""

from typing import NamedTuple


class Range(NamedTuple):
    """Closed interval of allowed numbers; None means no bound. `above=True` excludes `low` itself."""

    low: float | None = None
    high: float | None = None
    above: bool = False
