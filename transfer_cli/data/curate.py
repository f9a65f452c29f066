"""The keys `rename`, `skip` and `groups` of a data node, which correct rows and classes; `transfer data check -o`
writes them. Rows are given by the names that `data check` shows. Names are only compared, never opened as files."""

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
    """`raw` with renamed classes (classes with the same new name are merged), without the rows and faults in `skip`,
    and with `groups`. Classes without rows are removed. The note counts names in `skip` that match nothing. Raises
    DataError for a class in `rename` that does not exist or gets no name."""
    if not (rename or skip or groups):
        return raw
    unwanted, known = set(skip), set[str]()
    parts, dropped = dict[str, RawPart](), set[object]()
    for part, rows in raw.parts.items():
        names = [rows.names(row) for row in range(len(rows.labels))]
        out = np.array([name in unwanted for name in names], bool)
        known |= unwanted.intersection(names)
        dropped |= {file for file, skipped in zip(rows.files or (), out, strict=bool(rows.files)) if skipped}
        parts[part] = rows.only(np.flatnonzero(~out)) if out.any() else rows
    faults = [fault for fault in raw.faults if not any(fault.names(name) for name in unwanted)]
    known |= {name for name in unwanted - known if any(fault.names(name) for fault in raw.faults)}
    unmatched = len(unwanted - known)
    note = (
        f"{unmatched:,} name{'s' * (unmatched > 1)} of skip {'are' if unmatched > 1 else 'is'} not in the data"
        if unmatched
        else ""
    )
    cleaned = replace(
        raw,
        parts=parts,
        sources=tuple(path for path in raw.sources if path not in dropped),
        faults=tuple(faults),
        groups=tuple(map(tuple, groups)),
        note="; ".join(filter(None, [raw.note, note])),
    )
    return _renamed(cleaned, rename, word)


def _renamed(raw: Raw, rename: Mapping[str, str], word: str) -> Raw:
    for name, new in rename.items():
        if name not in raw.classes:
            near = nearest(name, raw.classes)
            raise DataError(Fault(f"{word}.rename", f"{raw.name} has no such class", name, nearest=near))
        if not isinstance(new, str) or not new.strip():
            raise DataError(Fault(f"{word}.rename", "needs a new name for this class", name))
    names = [rename.get(name, name) for name in raw.classes]
    populated = {names[label] for rows in raw.parts.values() for label in np.unique(rows.labels)}
    emptied = {rename.get(fault.label, fault.label) for fault in raw.faults if fault.kind == "empty class"}
    classes = tuple(name for name in dict.fromkeys(names) if name in populated | emptied)
    number = np.array([classes.index(name) if name in classes else -1 for name in names], np.int64)
    parts = {part: replace(rows, labels=number[rows.labels]) for part, rows in raw.parts.items()}
    return replace(raw, classes=classes, parts=parts)


def unseen_classes(raw: Raw) -> list[Finding]:
    """One fault for each row of another part whose class has no rows in train."""
    trained, folder = np.unique(raw.parts["train"].labels), Path(raw.name)
    findings = []
    for rows in raw.parts.values():
        for row in np.flatnonzero(~np.isin(rows.labels, trained)).tolist():
            label, name = raw.classes[rows.labels[row]], rows.names(row)
            where = str(folder / name) if folder.is_dir() else name
            findings.append(Finding("FAIL", "class not in train", label, where, f"label {label} is not in train"))
    return findings
