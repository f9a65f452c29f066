"""Finds what is wrong with a data set before any training. Opens every picture. Knows findings, not screens:
report/data_check_table.py shows them; cleanup_yaml.py writes a data YAML from them."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image

from transfer_cli.data.contracts import PARTS, Finding, Raw, RawPart, RowKind
from transfer_cli.data.formats.decode import picture
from transfer_cli.data.quality.copies import Row, copies, is_cut, stays
from transfer_cli.data.quality.near_duplicates import SIDE, small
from transfer_cli.data.quality.targets import findings as of_targets
from transfer_cli.data.quality.telling_columns import columns
from transfer_cli.errors import DataError

UNEVEN = 2  # the largest class over the smallest, from which on a note says so
LEAST = 3  # rows of a class that can stand in train, val and test
EXCERPT = 40  # characters of a text


class Checked(NamedTuple):
    """`findings`: FAIL first, then warn, then note. `rename`: class -> the name of the larger class it seems to be.
    `groups`: rows that are copies, or nearly."""

    findings: list[Finding]
    rename: dict[str, str]
    groups: list[list[Row]]


def check(raw: Raw, kind: RowKind) -> Checked:
    """All findings about a data set with rows of `kind`, sorted by level; within a level in the order of the list
    below."""
    counts = _counts(raw)
    bad: list[Finding] = []
    drawn = kind.looks == "pixels"
    seen = {part: _opened(raw, part, bad) for part in PARTS if part in raw.parts and drawn}
    rename = _alike(counts)
    broken = {finding.file for finding in bad}
    whole = len(seen) == len(raw.parts) and all(len(seen[part]) == len(raw.parts[part].labels) for part in seen)
    groups = copies(raw, kind, seen if whole else {}, rename) if whole or not drawn else []
    groups = [good for rows in groups if len(good := [row for row in rows if row.name not in broken]) > 1]
    findings = [
        *raw.faults,
        *bad,
        *_names(counts, rename),
        *(finding for rows in groups for finding in _copied(raw, kind, rows)),
        *columns(raw),
        *of_targets(raw),
        *_sizes(raw, kind, counts),
        *_notes(raw),
    ]
    return Checked(sorted(findings, key=lambda f: ("FAIL", "warn", "note").index(f.level)), rename, groups)


def _counts(raw: Raw) -> dict[str, int]:
    """Rows a class, over all parts."""
    labels = np.concatenate([rows.labels for rows in raw.parts.values()])
    return dict(zip(raw.classes, np.bincount(labels, minlength=len(raw.classes)).tolist(), strict=True))


def _opened(raw: Raw, part: str, bad: list[Finding]) -> np.ndarray:
    """Small versions of all pictures of a part. A picture that cannot be read is black, and a finding is added to
    `bad`."""
    rows = raw.parts[part]
    if rows.files is None:
        return _of_array(rows, bad)

    def look(path: Path) -> np.ndarray | str:
        try:
            return small(picture(path))
        except DataError as error:
            return error.faults[0].text

    images = np.zeros((len(rows.files), SIDE, SIDE, 3), np.uint8)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for row, seen in enumerate(pool.map(look, rows.files)):
            if isinstance(seen, str):
                bad.append(Finding("FAIL", "unreadable", raw.classes[rows.labels[row]], rows.names(row), seen))
            else:
                images[row] = seen
    return images


def _of_array(rows: RawPart, bad: list[Finding]) -> np.ndarray:
    images = np.zeros((0, SIDE, SIDE, 3), np.uint8)
    try:
        pixels = rows.read()
    except DataError as error:
        bad.append(Finding("FAIL", "unreadable", "", rows.names(0), error.faults[0].line()))
        return images
    if len(pixels) != len(rows.labels):
        text = f"{len(pixels):,} pictures and {len(rows.labels):,} labels"
        bad.append(Finding("FAIL", "unreadable", "", rows.names(0), text))
        return images
    return np.stack([small(Image.fromarray(image)) for image in pixels]) if len(pixels) else images


def _alike(counts: Mapping[str, int]) -> dict[str, str]:
    """class -> the largest class whose name differs only in case, spaces or the encoding of a letter."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        groups["".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    largest = {name: max(same, key=lambda n: counts[n]) for same in groups.values() for name in same}
    return {name: large for name, large in largest.items() if name != large}


def _names(counts: Mapping[str, int], rename: Mapping[str, str]) -> Iterator[Finding]:
    for name, large in rename.items():
        detail = f'"{large}" ({counts[large]:,}), "{name}" ({counts[name]:,})'
        yield Finding("warn", "2 names, one class?", name, "", detail)


def _copied(raw: Raw, kind: RowKind, group: Sequence[Row]) -> Iterator[Finding]:
    """Copies of the first row of a group: under two labels, in two parts, or just twice."""
    first, *others = group
    for other in others:
        exact = first.content == other.content
        detail = f"{'=' if exact else '~'} {first.name}{_excerpt(kind, other)}"
        if first.label != other.label:
            what = "targets" if raw.targets else "labels"
            fault = f"1 {kind.item}, 2 {what}" if exact else f"near-copies, 2 {what}"
            detail += f" ({first.label})"
        elif first.part != other.part:
            fault = "in two parts" if exact else "nearly in two parts"
            detail += f" ({first.part} and {other.part})"
        else:
            fault = "copies" if exact else "near-copies"
            detail += _kept(raw, first, other)
        yield Finding("warn", fault, other.label, other.name, detail)


def _kept(raw: Raw, first: Row, other: Row) -> str:
    """Whether a cut keeps the two rows in one part, if their part is cut."""
    if not is_cut(raw, other.part):
        return ""
    return "; kept in one part" if stays(raw, [first, other]) else "; may be cut apart"


def _excerpt(kind: RowKind, row: Row) -> str:
    if kind.looks != "words":
        return ""
    text = " ".join(str(row.content).split())
    return f' "{text}"' if len(text) <= EXCERPT else f' "{text[: EXCERPT - 3]}..."'


def _sizes(raw: Raw, kind: RowKind, counts: Mapping[str, int]) -> Iterator[Finding]:
    for name, count in counts.items():
        if 0 < count < LEAST:
            detail = f"{count} of {LEAST} {raw.kind} that train, val and test need"
            yield Finding("warn", "small class", name, "", detail)
    if "test" in raw.parts:
        yield from _untested(raw, kind)
    low, high = min(filter(None, counts.values()), default=0), max(counts.values(), default=0)
    if high >= UNEVEN * low > 0:
        yield Finding("note", "uneven", "", "", f"{low:,} to {high:,} a class")


def _untested(raw: Raw, kind: RowKind) -> Iterator[Finding]:
    tested = set(raw.parts["test"].labels.tolist())
    for number, name in enumerate(raw.classes):
        if number not in tested:
            detail = f"no {kind.item} of it in the test part"
            yield Finding("warn", "class not in test", name, "", detail)


def _notes(raw: Raw) -> Iterator[Finding]:
    if raw.note:
        yield Finding("note", "not as usual", "", "", raw.note)
    kinds = Counter(PurePath(name).suffix.lower() or "no ending" for name in raw.ignored)
    if kinds:
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield Finding("note", "left out", "", raw.ignored[0], listed)
