"""A data node of the configuration -> DataSet: opened, fingerprinted, cut into parts. No torch, no pixels.
Owns who may see which row; what pixels look like is cache.py's, what a family reads is the family's."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from transfer_cli.data import cache as store
from transfer_cli.data.classes import base_and_novel, chosen, title
from transfer_cli.data.cut import cut, draw
from transfer_cli.data.raw import Finding, Places, Raw
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.ranges import Range

Part = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class View:
    """How a data set is looked at: keys of every data node beside the family's own. `val_fraction` is cut from train
    (of the whole, where the family has no test part) by `split_seed`; `shots` a class or a `fraction` are the labels
    to learn from, `val_shots` those to validate on; `classes` are names or positions."""

    default_model: str = "resnet18"
    val_fraction: Annotated[float, Range(0, 0.9)] = 0.1
    split_seed: int = 0
    shots: Annotated[int, Range(1)] | None = None
    val_shots: Annotated[int, Range(1)] | None = None
    fraction: Annotated[float, Range(0, 1, above=True)] | None = None
    classes: list | None = None  # type: ignore[type-arg]  # names or positions
    augment: Literal["none", "weak", "strong"] = "none"


@dataclass(frozen=True)
class Rows:
    """Rows of a view: `part` is the raw part to read pixels from, `index` [N] rows of it, `labels` int64 [N]
    numbered as DataSet.classes."""

    part: str
    index: np.ndarray
    labels: np.ndarray
    raw: Raw

    def name(self, row: int) -> str:
        """What a person calls row 0..N-1."""
        return self.raw.parts[self.part].names(int(self.index[row]))


@dataclass(frozen=True)
class DataSet:
    """An opened data set under one view. `parts`: part -> (raw part, ascending rows of the classes chosen)."""

    name: str
    title: str
    classes: tuple[str, ...]
    raw: Raw = field(repr=False)
    view: View
    parts: Mapping[str, tuple[str, np.ndarray]] = field(repr=False)
    word: str = "data"

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the raw content, whatever the view."""
        return self.raw.fingerprint

    @property
    def note(self) -> str:
        return self.raw.note

    @property
    def augment(self) -> str:
        return self.view.augment

    @property
    def flip(self) -> bool:
        """May a picture be mirrored? False where that makes another label of it."""
        return self.raw.flip

    def has(self, part: Part, labelled: bool = True) -> bool:
        """Are there rows? Labelled validation rows are absent under `shots` unless `val_shots` gives them."""
        if part == "val" and labelled and self.view.shots is not None and self.view.val_shots is None:
            return False
        return part in self.parts and len(self.parts[part][1]) > 0

    def rows(self, part: Part, *, labelled: bool = True, seed: int = 0) -> Rows:
        """Rows of `part`. Labelled training rows are the shots or the fraction drawn by `seed` (labelled validation
        rows the val_shots); unlabelled ones are all. KeyError if `has` is false."""
        if not self.has(part, labelled):
            raise KeyError(f"{self.title} has no {'labelled ' if labelled else ''}{part} rows")
        raw_part, index = self.parts[part]
        labels = self._renumbered(raw_part, index)
        if labelled and (limits := self._limits(part)):
            kept = draw(np.arange(len(index)), labels, self.classes, seed, **limits)
            index, labels = index[kept], labels[kept]
        return Rows(raw_part, index, labels, self.raw)

    def key(self, part: Part, *, labelled: bool, seed: int) -> dict[str, Any]:
        """JSON: all that decides the content of `rows(part, ...)`, and nothing else: the draw's seed only where
        something is drawn, the cut only where something is cut."""
        raw_part, _ = self.parts[part]
        limits = self._limits(part) if labelled else {}
        whole = part in self.raw.parts and not self._cuts(part)
        split = {} if whole else {"shares": self._shares(), "seed": self.view.split_seed}
        return {
            "content": self.fingerprint,
            "part": [part, raw_part],
            "classes": list(self.classes),
            "split": split,
            "draw": {**limits, "seed": seed} if limits else {},
        }

    def sizes(self) -> dict[str, int]:
        """Rows a part, labels or not."""
        return {part: len(index) for part, (_, index) in self.parts.items()}

    def counts(self, part: Part) -> dict[str, int]:
        """Rows a class of one part, labels or not."""
        raw_part, index = self.parts[part]
        counts = np.bincount(self._renumbered(raw_part, index), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def changed(self, cache: Path) -> Path | None:
        """The first source whose content is no longer what was fingerprinted, None if all are as they were."""
        now = store.digests(self.raw.sources, cache)
        return next((path for path in self.raw.sources if now[path] != self.raw.digests[path]), None)

    def _renumbered(self, raw_part: str, index: np.ndarray) -> np.ndarray:
        lookup = np.full(len(self.raw.classes), -1, np.int64)
        lookup[[self.raw.classes.index(name) for name in self.classes]] = np.arange(len(self.classes))
        labels: np.ndarray = lookup[self.raw.parts[raw_part].labels[index]]
        return labels

    def _limits(self, part: str) -> dict[str, Any]:
        view = self.view
        if part == "val":
            return {} if view.val_shots is None else {"shots": view.val_shots}
        if part == "train" and view.shots is not None:
            return {"shots": view.shots}
        return {"fraction": view.fraction} if part == "train" and view.fraction is not None else {}

    def _cuts(self, part: str) -> bool:
        return part == "train" and any(share > 0 for share in self._shares())

    def _shares(self) -> list[float]:
        return shares(self.raw, self.view)


def shares(raw: Raw, view: View) -> list[float]:
    """What is cut from the raw training part: [test, val], 0 for a part the data bring themselves."""
    test = 0.0 if "test" in raw.parts else raw.test_fraction
    return [test, 0.0 if "val" in raw.parts else view.val_fraction]


def describe_pair(values: Mapping[str, Any], cache: Path) -> tuple[DataSet, DataSet | None]:
    """Target and source of a configuration (`data`, `source`, `plugins`). `cache` is <runs>/.cache.
    With source=base both are parts of one data set: the target keeps the classes its node names (else the second
    half), the source has the others. Raises DataError or ConfigError."""
    plugins = tuple(values.get("plugins") or ())
    target, source = values["data"], values.get("source") or {"family": "none"}
    if source["family"] != "base":
        return _opened(target, cache, "data", plugins), describe(source, cache=cache, word="source", plugins=plugins)
    raw, view = open_raw(target, cache, "data", plugins), _view(target)
    base, novel = base_and_novel(raw, view.classes, source.get("classes"))
    learned = _viewed(raw, replace(_view(source), classes=list(base)), "source")
    return _viewed(raw, replace(view, classes=list(novel)), "data"), learned


def describe(
    node: Mapping[str, Any], *, cache: Path, word: str = "data", plugins: Sequence[str] = ()
) -> DataSet | None:
    """The data set of one node, None for family none. `word` names the node in errors."""
    return None if node["family"] == "none" else _opened(node, cache, word, plugins)


def _opened(node: Mapping[str, Any], cache: Path, word: str, plugins: Sequence[str]) -> DataSet:
    return _viewed(open_raw(node, cache, word, plugins), _view(node), word)


def open_raw(node: Mapping[str, Any], cache: Path, word: str = "data", plugins: Sequence[str] = ()) -> Raw:
    """The family's answer with its fingerprint. DataError with every fault that stops a run."""
    raw = scan(node, cache, word, plugins)
    if raw.faults:
        raise DataError(*(_fault(finding) for finding in raw.faults))
    return raw


def scan(node: Mapping[str, Any], cache: Path, word: str = "data", plugins: Sequence[str] = ()) -> Raw:
    """As `open_raw`, but faults stay values in `raw.faults`: `data check` wants to tell them all."""
    settings = {key: value for key, value in node.items() if key not in _VIEW_KEYS and key != "family"}
    raw: Raw = _family(node["family"], plugins)(**settings).open(Places(cache, word))
    raw = replace(raw, digests=store.digests(raw.sources, cache))
    return replace(raw, fingerprint=store.fingerprint(raw))


_VIEW_KEYS = {key.name for key in fields(View)}


def _fault(finding: Finding) -> Fault:
    return Fault(finding.file, finding.detail)


def _family(stem: str, plugins: Sequence[str]) -> Any:
    """Class of data/<stem>.py, of this package or of a plugin package (its data/ folder or itself)."""
    folders = ["transfer_cli.data", *(f"{name}{sub}" for name in plugins for sub in (".data", ""))]
    for folder in folders:
        try:
            module = importlib.import_module(f"{folder}.{stem}")
        except ModuleNotFoundError as error:
            if error.name not in (folder, f"{folder}.{stem}"):
                raise
            continue
        return getattr(module, "".join(word.capitalize() for word in stem.split("_")))
    raise ConfigError(Fault("data.family", "no such file in transfer_cli/data or a plugin", stem))


def _view(node: Mapping[str, Any]) -> View:
    return View(**{key: value for key, value in node.items() if key in _VIEW_KEYS})


def _viewed(raw: Raw, view: View, word: str) -> DataSet:
    picked = chosen(raw.classes, view.classes, word, raw.name)
    names = tuple(raw.classes[place] for place in picked)
    parts = {
        part: (source, _of_classes(raw, source, index, picked)) for part, (source, index) in _cut(raw, view).items()
    }
    found = DataSet(raw.name, title(raw, picked), names, raw, view, parts, word)
    faults = [*_empty(found), *_few(found)]
    if faults:
        raise DataError(*faults)
    return found


def _of_classes(raw: Raw, part: str, index: np.ndarray, picked: Sequence[int]) -> np.ndarray:
    if len(picked) == len(raw.classes):
        return index
    wanted = np.zeros(len(raw.classes), bool)
    wanted[list(picked)] = True
    return index[wanted[raw.parts[part].labels[index]]]


def _cut(raw: Raw, view: View) -> dict[str, tuple[str, np.ndarray]]:
    """part -> (raw part, rows), before classes are chosen."""
    labels = raw.parts["train"].labels
    test, val, train = cut(labels, raw.classes, shares(raw, view), view.split_seed, _copies(raw))
    own = {part: (part, np.arange(len(rows.labels))) for part, rows in raw.parts.items()}
    return {"val": ("train", val), "test": ("train", test), **own, "train": ("train", train)}


def _copies(raw: Raw) -> np.ndarray | None:
    """Equal numbers for files of equal content, which must not be torn apart by a cut."""
    files = raw.parts["train"].files
    if files is None:
        return None
    return np.asarray(np.unique([raw.digests[path] for path in files], return_inverse=True)[1])


def _empty(data: DataSet) -> list[Fault]:
    """Parts that must not be empty. Validation may be."""
    text = "no pictures in its {} part"
    return [Fault(data.word, text.format(part), data.title) for part in ("train", "test") if not data.sizes().get(part)]


def _few(data: DataSet) -> list[Fault]:
    """More shots than the smallest class has rows; two ways of drawing at once."""
    faults = [_short(data, "shots", "train", "learn from"), _short(data, "val_shots", "val", "validate on")]
    if data.view.shots is not None and data.view.fraction is not None:
        faults.append(Fault(f"{data.word}.fraction", "not together with shots", str(data.view.fraction)))
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
