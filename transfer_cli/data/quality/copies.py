"""Finds rows with the same or nearly the same content: pictures by their look, texts by their words without case and
spaces, other rows by their bytes."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from transfer_cli.data.contracts import PARTS, Raw, RowKind
from transfer_cli.data.groups import Groups
from transfer_cli.data.quality.near_duplicates import alike
from transfer_cli.data.quality.targets import text_of


class Row(NamedTuple):
    """A row by its name. `label` is its class, or its targets in words; `content` is equal for rows of equal bytes."""

    name: str
    label: str
    part: str
    content: object


def copies(raw: Raw, kind: RowKind, small: Mapping[str, np.ndarray], rename: Mapping[str, str]) -> list[list[Row]]:
    """Groups of two or more rows, train before val before test; labels renamed by `rename`. `small` has the small
    versions of the pictures of each part (near_duplicates.py) and is empty for other kinds."""
    parts = [part for part in PARTS if part in raw.parts]
    contents = [content for part in parts for content in _contents(raw, part)]
    groups = Groups(len(contents))
    groups.by_key(contents)
    if small:
        groups.join(np.arange(len(contents)), alike(np.concatenate([small[part] for part in parts])))
    if kind.looks == "words":
        groups.by_key(words(str(text)) for text in contents)
    rows = [(part, row) for part in parts for row in range(len(raw.parts[part].labels))]

    def row(at: int) -> Row:
        part, number = rows[at]
        label = text_of(raw, part, number) if raw.targets else raw.classes[raw.parts[part].labels[number]]
        return Row(raw.parts[part].names(number), rename.get(label, label), part, contents[at])

    return [[row(at) for at in group.tolist()] for group in groups.lists()]


def is_cut(raw: Raw, part: str) -> bool:
    """Whether validation or test rows may be cut from this part."""
    return part == "train" and not {"val", "test"} <= set(raw.parts)


def stays(raw: Raw, rows: Sequence[Row]) -> bool:
    """Whether a cut keeps these rows of one part together: files of equal bytes, or rows of a group."""
    equal = raw.parts["train"].files is not None and len({row.content for row in rows}) == 1
    return equal or any({row.name for row in rows} <= set(names) for names in raw.groups)


def words(text: str) -> str:
    """The words of a text in one case and one encoding, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _contents(raw: Raw, part: str) -> Sequence[object] | Iterable[object]:
    rows = raw.parts[part]
    if rows.files is not None:
        return [raw.digests[path] for path in rows.files]
    array = rows.read() if rows.rows is not None else np.zeros(0)
    if not isinstance(array, np.ndarray):
        return list(array)
    return (blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in array)
