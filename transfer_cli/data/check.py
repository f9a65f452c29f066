"""Everything that can be wrong with a data set before anything is trained on it. Opens every picture.
Knows findings, not screens: cli/data.py prints them."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from transfer_cli.data.decode import picture
from transfer_cli.data.raw import PARTS, Finding, Raw
from transfer_cli.errors import DataError

UNEVEN = 2  # the largest class over the smallest, from which on it is told
LEAST = 3  # pictures of a class that can stand in train, val and test


class Entry(NamedTuple):
    """One picture file of a data set."""

    path: Path
    name: str
    label: str
    part: str


def entries(raw: Raw) -> list[Entry]:
    """All picture files in the order of parts and rows; none where a data set is one array."""
    found = []
    for part in (part for part in PARTS if part in raw.parts):
        rows = raw.parts[part]
        for row, path in enumerate(rows.files or ()):
            found.append(Entry(path, rows.names(row), raw.classes[rows.labels[row]], part))
    return found


def check(raw: Raw) -> list[Finding]:
    """All findings, FAIL first, then warn, then note; within a level in the order of kinds below."""
    files = entries(raw)
    found = [
        *raw.faults,
        *_unreadable(raw, files),
        *_alike(raw.classes),
        *_copies(raw, files),
        *_sizes(raw),
        *_notes(raw),
    ]
    return sorted(found, key=lambda finding: ("FAIL", "warn", "note").index(finding.level))


def _unreadable(raw: Raw, files: Sequence[Entry]) -> Iterator[Finding]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for entry, fault in zip(files, pool.map(_fault, [entry.path for entry in files]), strict=True):
            if fault:
                yield Finding("FAIL", "unreadable", entry.label, entry.name, fault)
    for part, rows in raw.parts.items():
        if rows.pixels is not None and (fault := _array_fault(raw, part)):
            yield Finding("FAIL", "unreadable", "", rows.names(0), fault)


def _fault(path: Path) -> str | None:
    try:
        picture(path)
    except DataError as error:
        return error.faults[0].text
    return None


def _array_fault(raw: Raw, part: str) -> str | None:
    rows = raw.parts[part]
    assert rows.pixels is not None, "asked only where there are pixels"
    try:
        count = len(rows.pixels())
    except DataError as error:
        return error.faults[0].line()
    return None if count == len(rows.labels) else f"{count:,} pictures and {len(rows.labels):,} labels"


def _alike(classes: Sequence[str]) -> Iterator[Finding]:
    """Names that differ only in case or blanks."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        groups["".join(name.casefold().split())].append(name)
    for same in (names for names in groups.values() if len(names) > 1):
        told = ", ".join(f'"{name}"' for name in same)
        yield Finding("warn", "alike names", same[0], "", told)


def _copies(raw: Raw, files: Sequence[Entry]) -> Iterator[Finding]:
    """Files of equal bytes: under two labels, in two parts, or just twice."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in files:
        groups[raw.digests[entry.path]].append(entry)
    for first, *others in (same for same in groups.values() if len(same) > 1):
        for other in others:
            kind, tail = _relation(first, other)
            yield Finding("warn", kind, other.label, other.name, f"same bytes as {first.name}{tail}")


def _relation(first: Entry, other: Entry) -> tuple[str, str]:
    if first.label != other.label:
        return "label clash", f" ({first.label})"
    if first.part != other.part:
        return "in two parts", f" ({first.part} and {other.part})"
    return "copies", "; kept in one part"


def _sizes(raw: Raw) -> Iterator[Finding]:
    counts = Counter({name: 0 for name in raw.classes})
    for rows in raw.parts.values():
        counts.update(
            dict(zip(raw.classes, np.bincount(rows.labels, minlength=len(raw.classes)).tolist(), strict=True))
        )
    for name, count in counts.items():
        if 0 < count < LEAST:
            yield Finding("warn", "small class", name, "", f"{count} of {LEAST} pictures that train, val and test need")
    if "test" in raw.parts:
        yield from _untested(raw)
    low, high = min(filter(None, counts.values()), default=0), max(counts.values(), default=0)
    if high >= UNEVEN * low > 0:
        yield Finding("note", "uneven", "", "", f"{low:,} to {high:,} a class")


def _untested(raw: Raw) -> Iterator[Finding]:
    tested = set(raw.parts["test"].labels.tolist())
    for number, name in enumerate(raw.classes):
        if number not in tested:
            yield Finding("warn", "class not in test", name, "", "no picture of it in the test part")


def _notes(raw: Raw) -> Iterator[Finding]:
    if raw.note:
        yield Finding("note", "not as usual", "", "", raw.note)
    kinds = Counter(PurePath(name).suffix.lower() or "no ending" for name in raw.ignored)
    if kinds:
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield Finding("note", "left out", "", raw.ignored[0], told)
