"""Findings about targets: rows of each label, the range of numbers, entities of each type. None for rows with
classes."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from transfer_cli.data.contracts import PARTS, Finding, Raw
from transfer_cli.metrics.spans import spans

SHOWN = 20  # labels or types in a line


def findings(raw: Raw) -> Iterator[Finding]:
    """Findings about the targets of all rows; their form decides which."""
    targets = {part: raw.parts[part].targets for part in PARTS if part in raw.parts}
    if not raw.targets or any(values is None for values in targets.values()):
        return
    columns = {part: values for part, values in targets.items() if isinstance(values, np.ndarray)}
    if len(columns) < len(targets):
        yield from _of_tags(raw)
        return
    columns = {part: values for part, values in columns.items() if len(values)}
    if "train" not in columns:  # all its rows are faults
        return
    if columns["train"].dtype == bool:
        yield from _of_labels(raw.targets, columns)
    else:
        yield from _of_numbers(raw.targets, columns)


def text_of(raw: Raw, part: str, row: int) -> str:
    """The targets of a row in words: its labels, its numbers, or its entities by type."""
    values = raw.parts[part].targets
    assert values is not None, "the rows have targets"
    target = np.asarray(values[row])
    if not isinstance(values, np.ndarray):
        kinds = Counter(span.type for span in spans([raw.targets[tag] for tag in target.tolist()]))
        return _listed(kinds) or "no entity"
    if target.dtype == bool:
        return ", ".join(raw.targets[place] for place in np.flatnonzero(target).tolist()) or "no label"
    return ", ".join(f"{value:g}" for value in target.tolist())


def _of_labels(names: tuple[str, ...], columns: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    every = np.concatenate(list(columns.values()))
    counts = dict(zip(names, every.sum(0).tolist(), strict=True))
    yield Finding("note", "rows a label", "", "", f"{_listed(counts)}; {every.sum(1).mean():.2f} labels a row")
    for part, values in columns.items():
        for name, count in zip(names, values.sum(0).tolist(), strict=True):
            if count in (0, len(values)):
                how = "no row" if count == 0 else "every row"
                yield Finding("warn", "label without both values", name, "", f"{name}: {how} of {part} has it")


def _of_numbers(names: tuple[str, ...], columns: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    every = np.concatenate(list(columns.values())).astype(np.float64)
    for name, column in zip(names, every.T, strict=True):
        low, high = column.min(), column.max()
        detail = f"{name}: {low:g} to {high:g}, mean {column.mean():.4g}, standard deviation {column.std():.4g}"
        yield Finding("note", "range", "", "", detail)
        if low == high:
            yield Finding("warn", "constant number", "", "", f"{name} is {low:g} in every row")
    train = columns["train"]
    for part, values in columns.items():
        outside = int(((values < train.min(0)) | (values > train.max(0))).any(1).sum())
        if outside:
            detail = f"{outside:,} of {len(values):,} rows of {part} lie outside the range of train"
            yield Finding("note", "outside the range", "", "", detail)


def _of_tags(raw: Raw) -> Iterator[Finding]:
    counts: dict[str, Counter[str]] = {}
    for part, rows in raw.parts.items():
        tags = [[raw.targets[tag] for tag in sentence.tolist()] for sentence in rows.targets or ()]
        counts[part] = Counter(span.type for sentence in tags for span in spans(sentence))
    every = sum(counts.values(), Counter[str]())
    sentences = sum(len(rows.labels) for rows in raw.parts.values())
    detail = f"{_listed(every) or 'none'}; {every.total() / max(sentences, 1):.2f} entities a sentence"
    yield Finding("note", "entities a type", "", "", detail)
    for kind in sorted(set(every) - set(counts["train"])):
        yield Finding("warn", "type not in train", kind, "", f"{kind}: {every[kind]:,} entities, none in train")


def _listed(counts: Mapping[str, int]) -> str:
    """`person 660, location 548`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(f"{name} {count:,}" for name, count in ordered[:SHOWN]) + more
