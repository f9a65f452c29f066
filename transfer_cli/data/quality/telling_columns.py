"""What the columns of a table reveal: cells that are missing, a column that gives the label away."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from transfer_cli.data.contracts import Finding, Raw
from transfer_cli.data.splits import shuffled

TELLS = 0.98  # share of labels that follow from a column that gives them away
COMMON = 0.9  # share of the largest class, from which on no column is reported: each would be right
MISSING = ("", "nan", "none", "null", "na", "n/a")
Cells = Mapping[str, Sequence[str]]


def columns(raw: Raw) -> Iterator[Finding]:
    """Findings about a table's columns; none for what is no table."""
    tables = [(rows.columns(), rows.labels) for rows in raw.parts.values() if rows.columns is not None]
    names = list(dict.fromkeys(name for table, _ in tables for name in table))
    if not names:
        return
    read = [name if name in names else names[int(name)] for name in raw.read]
    yield Finding("note", "columns", "", "", f"{', '.join(names)}; read: {', '.join(read)}")
    labels = np.concatenate([labels for _, labels in tables])
    cells = {n: [cell for table, own in tables for cell in table.get(n, [""] * len(own))] for n in names}
    for name in names:
        count = sum(map(_missing, cells[name]))
        if count:
            yield Finding("note", "missing cells", "", "", f"column {name}: {count:,} of {len(labels):,}")
    if len(labels) == 0 or np.bincount(labels).max() >= COMMON * len(labels):
        return
    for name in names:
        hidden = name not in read
        if (hidden or name == read[0]) and name != "part" and (share := share_told(cells[name], labels)) >= TELLS:
            detail = f"column {name} tells {100 * share:.0f} % of the labels" + ("; it is not read" if hidden else "")
            yield Finding("note" if hidden else "warn", "telling column", "", "", detail)


def share_told(cells: Sequence[str], labels: np.ndarray) -> float:
    """Share of N rows whose label follows from their cell: it is the label of most other rows with the same cell or,
    for numbers, of the row with the next lower number. By the first rule a cell that occurs once tells nothing."""
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(cell, len(number)) for cell in cells], np.int64)
    numbers = _numbers(cells)
    return max(_by_cell(codes, labels), 0.0 if numbers is None else _by_order(numbers, labels))


def _by_cell(codes: np.ndarray, labels: np.ndarray) -> float:
    classes = labels.max() + 1
    pairs, pair, count = np.unique(codes * classes + labels, return_inverse=True, return_counts=True)
    order = np.lexsort((-count, pairs // classes))  # cell by cell, the most frequent label first
    start = np.flatnonzero(np.diff(pairs[order] // classes, prepend=-1))
    more = np.diff(start, append=len(order)) > 1
    most, second = order[start], np.where(more, count[order[np.minimum(start + 1, len(order) - 1)]], 0)
    rival = np.where(most[codes] == pair, second[codes], count[most[codes]])
    return float((count[pair] - 1 > rival).mean())


def _by_order(numbers: np.ndarray, labels: np.ndarray) -> float:
    mixed = shuffled(np.arange(len(numbers)), 0)  # rows with equal numbers in random order, not in that of the file
    order = mixed[np.argsort(numbers[mixed], kind="stable")]
    return float((labels[order][1:] == labels[order][:-1]).mean()) if len(order) > 1 else 0.0


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    try:
        return np.array([np.nan if _missing(cell) else float(cell) for cell in cells])
    except ValueError:
        return None


def _missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING
