"""Opens a data node of the configuration as a DataSet: calls its reader, computes the fingerprint, splits the parts.
No torch, no pixels: cache.py converts pixels, readers know file formats, DataSet decides which rows are visible."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.config.signatures import signature
from transfer_cli.data import cache as store
from transfer_cli.data.classes import base_and_novel, chosen, title
from transfer_cli.data.contracts import Finding, Places, Raw
from transfer_cli.data.curate import curated, unseen_classes
from transfer_cli.data.dataset import DataSet as DataSet
from transfer_cli.data.dataset import Part, held_out, shares
from transfer_cli.data.dataset import Rows as Rows
from transfer_cli.data.domains import listed
from transfer_cli.data.groups import copies
from transfer_cli.data.shift import Shift
from transfer_cli.data.splits import cut
from transfer_cli.data.view import View
from transfer_cli.errors import DataError, Fault
from transfer_cli.plugins import load_class


def describe_pair(values: Mapping[str, Any], cache: Path) -> tuple[DataSet, DataSet | None]:
    """Target and source of a configuration (`data`, `source`, `plugins`). `cache` is <runs>/.cache.
    With source=base both are parts of one data set: the target has the classes that its node names (default: the second
    half), the source has the others. Raises DataError or ConfigError."""
    plugins = tuple(values.get("plugins") or ())
    target, source = values["data"], values.get("source") or {"family": "none"}
    if source["family"] != "base":
        target_data = _opened(target, Places(cache, "data", _domains(source)), plugins)
        source_data = describe(source, cache=cache, word="source", plugins=plugins, taken=_domains(target))
        _apart(target_data, source_data)
        return target_data, source_data
    raw, view = open_raw(target, cache, "data", plugins), _view(target)
    _check_shift(raw, view, "data", plugins)
    base, novel = base_and_novel(raw, view.classes, source.get("classes"))
    source_view = replace(_view(source), classes=list(base), augment=source.get("augment") or view.augment)
    return _viewed(raw, replace(view, classes=list(novel)), "data"), _viewed(raw, source_view, "source")


def describe(
    node: Mapping[str, Any],
    *,
    cache: Path,
    word: str = "data",
    plugins: Sequence[str] = (),
    taken: tuple[str, ...] = (),
) -> DataSet | None:
    """The data set of one node; None for family none. `word` is the key of the node in messages; `taken` are the
    domains of the other node. Raises DataError or ConfigError."""
    return None if node["family"] == "none" else _opened(node, Places(cache, word, taken), plugins)


def _domains(node: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(listed(node.get("domain")))


def _apart(target: DataSet, source: DataSet | None) -> None:
    """Raises DataError if the source shares files with a target whose rows are all test rows."""
    if source is None or not target.held_out:
        return
    if shared := set(source.raw.sources) & set(target.raw.sources):
        text = f"has {len(shared):,} files of {target.title}, all of whose rows are test"
        raise DataError(Fault("source", text, source.title, do="source.domain=others, or data.whole=false"))


def _opened(node: Mapping[str, Any], places: Places, plugins: Sequence[str]) -> DataSet:
    raw, view = _sound(_scanned(node, places, plugins)), _view(node)
    _check_shift(raw, view, places.word, plugins)
    return _viewed(raw, view, places.word)


def open_raw(node: Mapping[str, Any], cache: Path, word: str = "data", plugins: Sequence[str] = ()) -> Raw:
    """The raw data set of a node, with its fingerprint. Raises DataError with all faults that stop a run."""
    return _sound(scan(node, cache, word, plugins))


def _sound(raw: Raw) -> Raw:
    if raw.faults:
        raise DataError(*_faults(raw))
    return raw


def scan(node: Mapping[str, Any], cache: Path, word: str = "data", plugins: Sequence[str] = ()) -> Raw:
    """As `open_raw`, but returns faults in `raw.faults`, so that `data check` can report them all."""
    return _scanned(node, Places(cache, word), plugins)


def _scanned(node: Mapping[str, Any], places: Places, plugins: Sequence[str]) -> Raw:
    settings = {key: value for key, value in node.items() if key not in _VIEW_KEYS and key != "family"}
    corrections: dict[str, Any] = {key: node[key] for key in ("rename", "skip", "groups") if node.get(key)}
    raw: Raw = load_class("data/readers", node["family"], plugins)(**settings).open(places)
    raw = curated(raw, **corrections, word=places.word)
    raw = replace(raw, digests=store.digests(raw.sources, places.cache), faults=(*raw.faults, *unseen_classes(raw)))
    return replace(raw, fingerprint=store.fingerprint(raw, settings | corrections))


_VIEW_KEYS = {key.name for key in fields(View)}


def _faults(raw: Raw) -> Iterator[Fault]:
    """One fault per kind and class: the first one, with the number of others."""
    similar: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in raw.faults:
        similar[finding.kind, finding.label].append(finding)
    for first, *others in similar.values():
        more = f"; {len(others):,} more" if others else ""
        do = f"transfer data check {shlex.quote(raw.name)} -v" if more and Path(raw.name).exists() else None
        yield Fault(first.file, f"{first.detail}{more}", do=do)


def _view(node: Mapping[str, Any]) -> View:
    return View(**{key: value for key, value in node.items() if key in _VIEW_KEYS})


def _check_shift(raw: Raw, view: View, word: str, plugins: Sequence[str]) -> None:
    """Raises DataError for a shift of rows whose kind knows none; a literal of the kind says so."""
    if view.shift and not signature("kind", raw.kind, plugins).flags.get("shifts"):
        text = f"makes pictures of pictures, and {raw.name} are {raw.kind}"
        raise DataError(Fault(f"{word}.shift", text, view.shift))


def _viewed(raw: Raw, view: View, word: str) -> DataSet:
    shift = Shift.of(view.shift, view.shift_amount, word) if view.shift else None
    if view.whole and set(raw.parts) != {"train"}:
        text = f"{raw.name} is already split into {', '.join(raw.parts)}; only data without parts can be whole"
        raise DataError(Fault(f"{word}.whole", text, "true"))
    if raw.targets and view.classes is not None:
        text = f"{raw.name} has no classes; it has {', '.join(raw.targets[:8])}"
        raise DataError(Fault(f"{word}.classes", text, str(view.classes)))
    picked = chosen(raw.classes, view.classes, word, raw.name) if raw.has_classes else [0]
    names = tuple(raw.classes[place] for place in picked)
    parts = {
        part: (source, _of_classes(raw, source, index, picked))
        for part, (source, index) in _cut(raw, view, word).items()
    }
    data = DataSet(
        raw.name, " ".join(filter(None, [title(raw, picked), str(shift or "")])), names, raw, view, parts, word
    )
    faults = [*_empty(data), *_few(data)]
    if faults:
        raise DataError(*faults)
    return data


def _of_classes(raw: Raw, part: str, index: np.ndarray, picked: Sequence[int]) -> np.ndarray:
    if len(picked) == len(raw.classes):
        return index
    return index[np.isin(raw.parts[part].labels[index], picked)]


def _cut(raw: Raw, view: View, word: str) -> dict[str, tuple[str, np.ndarray]]:
    """Part -> (raw part, rows), before the selection of classes."""
    labels = raw.parts["train"].labels
    if held_out(view, word):
        return dict.fromkeys(("train", "test"), ("train", np.arange(len(labels))))
    test, val, train = cut(labels, raw.classes, shares(raw, view, word), view.split_seed, copies(raw))
    own = {part: (part, np.arange(len(rows.labels))) for part, rows in raw.parts.items()}
    return {"val": ("train", val), "test": ("train", test), **own, "train": ("train", train)}


def _empty(data: DataSet) -> list[Fault]:
    """Faults of empty parts. Validation may be empty, and so may the test part of a source whose rows are all training
    rows."""
    required = ("train",) if data.view.whole and not data.held_out else ("train", "test")
    text = "no rows in its {} part"
    return [Fault(data.word, text.format(part), data.title) for part in required if not data.sizes().get(part)]


def _few(data: DataSet) -> list[Fault]:
    """Faults: more shots than the smallest class has rows, `shots` together with `fraction`, a fold that does not
    exist, and label noise without classes."""
    faults = [_short(data, "shots", "train", "learn from"), _short(data, "val_shots", "val", "validate on")]
    if data.view.shots is not None and data.view.fraction is not None:
        faults.append(Fault(f"{data.word}.fraction", "not together with shots", str(data.view.fraction)))
    if data.view.fold is not None and data.view.fold >= data.view.folds:
        allowed = f"allowed 0 to {data.view.folds - 1}"
        faults.append(Fault(f"{data.word}.fold", allowed, str(data.view.fold)))
    if data.view.label_noise and not data.raw.has_classes:
        text = "the rows have no classes" if data.raw.targets else "a text has no labels"
        faults.append(Fault(f"{data.word}.label_noise", text, str(data.view.label_noise)))
    return [fault for fault in faults if fault]


def _short(data: DataSet, key: str, part: Part, use: str) -> Fault | None:
    requested = getattr(data.view, key)
    if requested is None or part not in data.parts:
        return None
    name, least = min(data.counts(part).items(), key=lambda item: item[1])
    if requested <= least:
        return None
    allowed = f"allowed 1 to {least}" if least else "allowed: none"
    return Fault(f"{data.word}.{key}", f"class {name} has {least} labels to {use}; {allowed}", str(requested))
