"""Data sets with domains: which domains a node selects, and how several domains become one data set that records the
domain of each row. Readers of such data have the key `domain`: a name, a list of names, or `others`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart
from transfer_cli.errors import DataError, Fault, nearest

OTHERS = "others"


def listed(asked: Any) -> list[str]:
    """The names in a value of the key `domain`.

    >>> listed(None), listed("photo"), listed(["photo", "sketch"])
    ([], ['photo'], ['photo', 'sketch'])"""
    return [] if asked is None else list(map(str, asked)) if isinstance(asked, list) else [str(asked)]


def selected_domains(asked: Any, known: Sequence[str], places: Places, title: str) -> list[str]:
    """The requested domains, out of the `known` ones; `others`: all that the other data set of the run does not use.
    Raises DataError for unknown or repeated domains, and if none is left."""
    names, key = listed(asked), f"{places.word}.domain"
    if names == [OTHERS] and OTHERS not in known:
        names = [name for name in known if name not in places.taken]
        if not names:
            raise DataError(Fault(key, f"{title} has only the domains that the other data set uses", OTHERS))
    if not names:
        raise DataError(Fault(key, "needs the name of one or several domains", str(asked), tuple(known)))
    for name in names:
        if name not in known:
            text = f"{title} has no such domain; there are {', '.join(known)}"
            raise DataError(Fault(key, text, name, tuple(known), nearest(name, known)))
    if len(set(names)) < len(names):
        raise DataError(Fault(key, "names a domain twice", ", ".join(names)))
    return names


def joined_domains(title: str, by_domain: Mapping[str, Raw]) -> Raw:
    """Joins several domains to one data set. Rows are in the order of the domains, and `domains` records the domain of
    each row. Classes are the union over domains. Raises DataError if only some of the domains have a part."""
    raws, first = list(by_domain.values()), next(iter(by_domain.values()))
    for name, raw in by_domain.items():
        if odd := set(raw.targets) ^ set(first.targets):
            text = f"{next(iter(by_domain))} and {name} have different targets: only one of them has {min(odd)}"
            raise DataError(Fault(title, text))
    kinds = {raw.classes for raw in raws}
    classes = first.classes if len(kinds) == 1 else tuple(sorted(set(chain.from_iterable(kinds))))
    parts = {part: _joined(part, raws, classes) for part in PARTS if part in _same_parts(title, by_domain)}
    return replace(
        first,
        name=f"{title} {', '.join(by_domain)}",
        classes=classes,
        parts=parts,
        domains=tuple(by_domain),
        sources=tuple(dict.fromkeys(chain.from_iterable(raw.sources for raw in raws))),
        note="; ".join(dict.fromkeys(raw.note for raw in raws if raw.note)),
        ignored=tuple(chain.from_iterable(raw.ignored for raw in raws)),
        faults=tuple(chain.from_iterable(raw.faults for raw in raws)),
    )


def _same_parts(title: str, raws: Mapping[str, Raw]) -> set[str]:
    first, *others = raws
    parts = set(raws[first].parts)
    for name in others:
        if difference := parts ^ set(raws[name].parts):
            text = f"{first} and {name} have different parts: only one of them has a part {min(difference)}"
            raise DataError(Fault(title, text))
    return parts


def _joined(part: str, raws: Sequence[Raw], classes: Sequence[str]) -> RawPart:
    rows = [raw.parts[part] for raw in raws]
    places = [np.array([classes.index(name) for name in raw.classes], np.int64) for raw in raws]
    counts = [len(one.labels) for one in rows]
    starts = np.cumsum([0, *counts])

    def name(row: int) -> str:
        which = int(np.searchsorted(starts, row, side="right")) - 1
        return rows[which].names(row - int(starts[which]))

    reads, files = [one.rows for one in rows if one.rows], [one.files for one in rows if one.files is not None]
    return RawPart(
        np.concatenate([place[one.labels] for place, one in zip(places, rows, strict=True)]),
        name,
        files=tuple[Path, ...](chain.from_iterable(files)) if files else None,
        rows=(lambda: _chained([read() for read in reads])) if reads else None,
        columns=rows[0].columns if len(rows) == 1 else None,
        domains=np.repeat(np.arange(len(raws)), counts),
        targets=_chained([one.targets for one in rows]) if rows[0].targets is not None else None,
    )


def _chained(values: Sequence[Any]) -> Any:
    """Concatenates arrays, or sequences of rows."""
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else list(chain.from_iterable(values))
