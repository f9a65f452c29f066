"""What a data node may say of rows and classes beside its family: `rename`, `skip`, `groups`; `transfer data check -o`
writes them. Rows go by the names that `data check` shows. A name is only compared, never opened as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from transfer_cli.data.contracts import Finding, Raw, RawPart
from transfer_cli.errors import DataError, Fault, nearest


def curated(
    raw: Raw,
    *,
    rename: Mapping[str, str] = MappingProxyType({}),
    skip: Sequence[str] = (),
    groups: Sequence[Sequence[str]] = (),
    word: str = "data",
) -> Raw:
    """`raw` with classes renamed (two of one name are one), without the rows and faults in `skip`, its `groups` filled
    in. Classes that have no row left are no more. Names in `skip` that are nobody's are told in the note."""
    if not (rename or skip or groups):
        return raw
    unwanted, known = set(skip), set[str]()
    parts, dropped = dict[str, RawPart](), set[object]()
    for part, rows in raw.parts.items():
        names = [rows.names(row) for row in range(len(rows.labels))]
        out = np.array([name in unwanted for name in names], bool)
        known |= unwanted.intersection(names)
        dropped |= {file for file, gone in zip(rows.files or (), out, strict=bool(rows.files)) if gone}
        parts[part] = rows.only(np.flatnonzero(~out)) if out.any() else rows
    faults = [fault for fault in raw.faults if not any(fault.names(name) for name in unwanted)]
    known |= {name for name in unwanted - known if any(fault.names(name) for fault in raw.faults)}
    lost = len(unwanted - known)
    note = f"{lost:,} name{'s' * (lost > 1)} of skip {'are' if lost > 1 else 'is'} not in the data" if lost else ""
    made = replace(
        raw,
        parts=parts,
        sources=tuple(path for path in raw.sources if path not in dropped),
        faults=tuple(faults),
        groups=tuple(map(tuple, groups)),
        note="; ".join(filter(None, [raw.note, note])),
    )
    return _renamed(made, rename, word)


def _renamed(raw: Raw, rename: Mapping[str, str], word: str) -> Raw:
    for name, new in rename.items():
        if name not in raw.classes:
            near = nearest(name, raw.classes)
            raise DataError(Fault(f"{word}.rename", f"{raw.name} has no such class", name, nearest=near))
        if not isinstance(new, str) or not new.strip():
            raise DataError(Fault(f"{word}.rename", "wants a name for it", name))
    names = [rename.get(name, name) for name in raw.classes]
    held = {names[label] for rows in raw.parts.values() for label in np.unique(rows.labels)}
    emptied = {rename.get(fault.label, fault.label) for fault in raw.faults if fault.kind == "empty class"}
    classes = tuple(name for name in dict.fromkeys(names) if name in held | emptied)
    number = np.array([classes.index(name) if name in classes else -1 for name in names], np.int64)
    parts = {part: replace(rows, labels=number[rows.labels]) for part, rows in raw.parts.items()}
    return replace(raw, classes=classes, parts=parts)


def untaught(raw: Raw) -> list[Finding]:
    """Rows of other parts whose class train does not have: a fault each."""
    taught, folder = np.unique(raw.parts["train"].labels), Path(raw.name)
    found = []
    for rows in raw.parts.values():
        for row in np.flatnonzero(~np.isin(rows.labels, taught)).tolist():
            label, name = raw.classes[rows.labels[row]], rows.names(row)
            where = str(folder / name) if folder.is_dir() else name
            found.append(Finding("FAIL", "class not in train", label, where, f"label {label} is not in train"))
    return found
