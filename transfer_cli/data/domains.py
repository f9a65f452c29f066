"""Data sets with a domain axis: which domains a node means, and several of them as one data set whose rows know where
they are from. A family that has such an axis takes the key `domain`: a name, a list of names, or `others`."""

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
    """The names that a value of `domain` holds.

    >>> listed(None), listed("photo"), listed(["photo", "sketch"])
    ([], ['photo'], ['photo', 'sketch'])"""
    return [] if asked is None else list(map(str, asked)) if isinstance(asked, list) else [str(asked)]


def meant(asked: Any, known: Sequence[str], places: Places, title: str) -> list[str]:
    """The domains asked for, out of those that are there; `others`: all that the other data set of the run does not
    name. DataError for one that is not there, is named twice, or if none is left."""
    names, key = listed(asked), f"{places.word}.domain"
    if names == [OTHERS] and OTHERS not in known:
        names = [name for name in known if name not in places.taken]
        if not names:
            raise DataError(Fault(key, f"{title} has no domain but those of the other side", OTHERS))
    if not names:
        raise DataError(Fault(key, "wants the name of a domain, or several", str(asked), tuple(known)))
    for name in names:
        if name not in known:
            text = f"{title} has no such domain; there are {', '.join(known)}"
            raise DataError(Fault(key, text, name, tuple(known), nearest(name, known)))
    if len(set(names)) < len(names):
        raise DataError(Fault(key, "names a domain twice", ", ".join(names)))
    return names


def together(title: str, found: Mapping[str, Raw]) -> Raw:
    """Several domains as one data set, rows in the order of the domains, `domains` saying which each is from. Classes
    are those of any domain. DataError if some have a part that others lack."""
    raws, first = list(found.values()), next(iter(found.values()))
    for name, raw in found.items():
        if odd := set(raw.targets) ^ set(first.targets):
            text = f"{next(iter(found))} and {name} have different targets: only one of them has {min(odd)}"
            raise DataError(Fault(title, text))
    kinds = {raw.classes for raw in raws}
    classes = first.classes if len(kinds) == 1 else tuple(sorted(set(chain.from_iterable(kinds))))
    parts = {part: _joined(part, raws, classes) for part in PARTS if part in _same_parts(title, found)}
    return replace(
        first,
        name=f"{title} {', '.join(found)}",
        classes=classes,
        parts=parts,
        domains=tuple(found),
        sources=tuple(dict.fromkeys(chain.from_iterable(raw.sources for raw in raws))),
        note="; ".join(dict.fromkeys(raw.note for raw in raws if raw.note)),
        ignored=tuple(chain.from_iterable(raw.ignored for raw in raws)),
        faults=tuple(chain.from_iterable(raw.faults for raw in raws)),
    )


def _same_parts(title: str, found: Mapping[str, Raw]) -> set[str]:
    first, *others = found
    mine = set(found[first].parts)
    for name in others:
        if odd := mine ^ set(found[name].parts):
            text = f"{first} and {name} are not cut alike: only one of them has a part {min(odd)}"
            raise DataError(Fault(title, text))
    return mine


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
    """Rows of all, one after the other."""
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else list(chain.from_iterable(values))
