"""A data node of the configuration -> DataSet: family opened, content fingerprinted, parts cut. No torch, no pixels.
What pixels look like is cache.py's business, what files look like the family's, who sees which row the DataSet's."""

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
from transfer_cli.data.curate import curated, untaught
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
    With source=base both are parts of one data set: the target keeps the classes its node names (else the second
    half), the source has the others. Raises DataError or ConfigError."""
    plugins = tuple(values.get("plugins") or ())
    target, source = values["data"], values.get("source") or {"family": "none"}
    if source["family"] != "base":
        mine = _opened(target, Places(cache, "data", _domains(source)), plugins)
        theirs = describe(source, cache=cache, word="source", plugins=plugins, taken=_domains(target))
        _apart(mine, theirs)
        return mine, theirs
    raw, view = open_raw(target, cache, "data", plugins), _view(target)
    _check_shift(raw, view, "data", plugins)
    base, novel = base_and_novel(raw, view.classes, source.get("classes"))
    alike = replace(_view(source), classes=list(base), augment=source.get("augment") or view.augment)
    learned = _viewed(raw, alike, "source")
    return _viewed(raw, replace(view, classes=list(novel)), "data"), learned


def describe(
    node: Mapping[str, Any],
    *,
    cache: Path,
    word: str = "data",
    plugins: Sequence[str] = (),
    taken: tuple[str, ...] = (),
) -> DataSet | None:
    """The data set of one node, None for family none. `word` names the node in errors; `taken` are domains of the other
    node."""
    return None if node["family"] == "none" else _opened(node, Places(cache, word, taken), plugins)


def _domains(node: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(listed(node.get("domain")))


def _apart(target: DataSet, source: DataSet | None) -> None:
    """No file of a target that is test in full may be learned from. Raises DataError."""
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
    """The family's answer with its fingerprint. DataError with every fault that stops a run."""
    return _sound(scan(node, cache, word, plugins))


def _sound(raw: Raw) -> Raw:
    if raw.faults:
        raise DataError(*_faults(raw))
    return raw


def scan(node: Mapping[str, Any], cache: Path, word: str = "data", plugins: Sequence[str] = ()) -> Raw:
    """As `open_raw`, but faults stay values in `raw.faults`: `data check` wants to tell them all."""
    return _scanned(node, Places(cache, word), plugins)


def _scanned(node: Mapping[str, Any], places: Places, plugins: Sequence[str]) -> Raw:
    settings = {key: value for key, value in node.items() if key not in _VIEW_KEYS and key != "family"}
    mended: dict[str, Any] = {key: node[key] for key in ("rename", "skip", "groups") if node.get(key)}
    raw: Raw = load_class("data/readers", node["family"], plugins)(**settings).open(places)
    raw = curated(raw, **mended, word=places.word)
    raw = replace(raw, digests=store.digests(raw.sources, places.cache), faults=(*raw.faults, *untaught(raw)))
    return replace(raw, fingerprint=store.fingerprint(raw, settings | mended))


_VIEW_KEYS = {key.name for key in fields(View)}


def _faults(raw: Raw) -> Iterator[Fault]:
    """A line for each kind and class: the first fault, and how many are like it."""
    alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in raw.faults:
        alike[finding.kind, finding.label].append(finding)
    for first, *others in alike.values():
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
        text = f"{raw.name} comes cut into {', '.join(raw.parts)}; only data in one piece can be whole"
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
    found = DataSet(
        raw.name, " ".join(filter(None, [title(raw, picked), str(shift or "")])), names, raw, view, parts, word
    )
    faults = [*_empty(found), *_few(found)]
    if faults:
        raise DataError(*faults)
    return found


def _of_classes(raw: Raw, part: str, index: np.ndarray, picked: Sequence[int]) -> np.ndarray:
    if len(picked) == len(raw.classes):
        return index
    return index[np.isin(raw.parts[part].labels[index], picked)]


def _cut(raw: Raw, view: View, word: str) -> dict[str, tuple[str, np.ndarray]]:
    """part -> (raw part, rows), before classes are chosen."""
    labels = raw.parts["train"].labels
    if held_out(view, word):
        return dict.fromkeys(("train", "test"), ("train", np.arange(len(labels))))
    test, val, train = cut(labels, raw.classes, shares(raw, view, word), view.split_seed, copies(raw))
    own = {part: (part, np.arange(len(rows.labels))) for part, rows in raw.parts.items()}
    return {"val": ("train", val), "test": ("train", test), **own, "train": ("train", train)}


def _empty(data: DataSet) -> list[Fault]:
    """Parts that must not be empty. Validation may be, and the test part of a source that is learned from whole."""
    wanted = ("train",) if data.view.whole and not data.held_out else ("train", "test")
    text = "no rows in its {} part"
    return [Fault(data.word, text.format(part), data.title) for part in wanted if not data.sizes().get(part)]


def _few(data: DataSet) -> list[Fault]:
    """More shots than the smallest class has rows; two ways of drawing at once; noise where there are no labels."""
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
    wanted = getattr(data.view, key)
    if wanted is None or part not in data.parts:
        return None
    name, least = min(data.counts(part).items(), key=lambda item: item[1])
    if wanted <= least:
        return None
    allowed = f"allowed 1 to {least}" if least else "allowed: none"
    return Fault(f"{data.word}.{key}", f"class {name} has {least} labels to {use}; {allowed}", str(wanted))
