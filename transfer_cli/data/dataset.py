"""DataSet: an opened data set under one view, and which of its rows are visible. No torch, no pixels.
Only the part "test" returns test rows. All random draws of rows happen here, by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from transfer_cli.data.cache import digests
from transfer_cli.data.contracts import Raw, taken
from transfer_cli.data.groups import copies
from transfer_cli.data.splits import draw, folds, noisy
from transfer_cli.data.view import View
from transfer_cli.errors import DataError, Fault

Part = Literal["train", "val", "test"]
UNKNOWN = "unknown"  # the class of all rows whose class is not among those of the net


@dataclass(frozen=True)
class Rows:
    """Rows of a view: `part` is the raw part that contains them, `index` [N] their positions in it, `labels` int64 [N]
    their positions in DataSet.names."""

    part: str
    index: np.ndarray
    labels: np.ndarray
    raw: Raw

    @property
    def domains(self) -> np.ndarray | None:
        """The domain of each row, int64 [N]; None if the data have no domains."""
        every = self.raw.parts[self.part].domains
        return None if every is None else every[self.index]

    @property
    def targets(self) -> Any:
        """What a task other than classification learns of each row, see RawPart.targets. Raises DataError if the data
        have no targets."""
        every = self.raw.parts[self.part].targets
        if every is None:
            raise DataError(Fault("task", f"{self.raw.name} has classes, and no numbers, labels or tags to learn"))
        return taken(every, self.index)

    def name(self, row: int) -> str:
        """The name of row 0..N-1 in messages."""
        return self.raw.parts[self.part].names(int(self.index[row]))


@dataclass(frozen=True)
class DataSet:
    """An opened data set under one view. `parts`: part -> (raw part, ascending rows of the chosen classes). `known`:
    the classes of a net; if given, labels are positions in it instead of in the data's own classes."""

    name: str
    title: str
    classes: tuple[str, ...]
    raw: Raw = field(repr=False)
    view: View
    parts: Mapping[str, tuple[str, np.ndarray]] = field(repr=False)
    word: str = "data"
    known: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of a net's outputs: `known` if given, else the targets of the data, else its classes."""
        return self.known or self.raw.targets or self.classes

    def seen_as(self, names: Sequence[str]) -> "DataSet":
        """The same rows with labels as positions in `names`. A class that is not in `names` becomes UNKNOWN, which must
        then be in `names`. Empty `names`: labels as positions in the data's own classes."""
        return replace(self, known=() if tuple(names) == self.classes else tuple(names))

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the content, including a shift; independent of which rows are visible."""
        return self.view.shifted.fingerprint(self.raw.fingerprint) if self.view.shifted else self.raw.fingerprint

    @property
    def note(self) -> str:
        """Anything unusual about the data, for messages."""
        share, kind = self.view.label_noise, self.view.noise_kind
        wrong = f"{100 * share:g} % of the training labels are wrong on purpose, {kind}" if share else ""
        return "; ".join(filter(None, [self.raw.note, wrong]))

    @property
    def augment(self) -> str:
        return self.view.augment or "none"

    @property
    def flip(self) -> bool:
        """Whether pictures may be mirrored; False if that would change labels."""
        return self.raw.flip

    @property
    def held_out(self) -> bool:
        """Whether every row is a test row; the training rows are then the same rows without labels."""
        return held_out(self.view, self.word)

    def has(self, part: Part, labelled: bool = True) -> bool:
        """Whether `part` has rows. With `shots`, there are labelled validation rows only if `val_shots` is given. There
        are no labelled training rows if all rows are test rows."""
        if part == "train" and labelled and self.held_out:
            return False
        if labelled and self.folded(part):
            return len(self.parts["train"][1]) > 0
        if part == "val" and labelled and self.view.shots is not None and self.view.val_shots is None:
            return False
        return part in self.parts and len(self.parts[part][1]) > 0

    def rows(self, part: Part, *, labelled: bool = True, seed: int = 0) -> Rows:
        """Rows of `part`. Labelled training rows are drawn by `seed` according to `shots` or `fraction`, labelled
        validation rows according to `val_shots`; labels have noise if the view defines it. Unlabelled rows are all
        rows. Raises KeyError if `has` returns False."""
        if not self.has(part, labelled):
            raise KeyError(f"{self.title} has no {'labelled ' if labelled else ''}{part} rows")
        if labelled and self.folded(part):
            pool = self.pool if part == "train" else self.pool._clean
            rows, chosen = pool.rows("train", seed=seed), self.fold(part, seed)
            return replace(rows, index=rows.index[chosen], labels=rows.labels[chosen])
        raw_part, index = self.parts[part]
        labels = self._renumbered(raw_part, index)
        if labelled and (limits := self._limits(part)):
            chosen = draw(np.arange(len(index)), labels, self.classes, seed, **limits)
            index, labels = index[chosen], labels[chosen]
        if labelled and (noise := self._noise(part)):
            labels = noisy(labels, self.classes, **noise)
        return Rows(raw_part, index, self._by_name(labels), self.raw)

    def key(self, part: Part, *, labelled: bool, seed: int) -> dict[str, Any]:
        """Everything that determines the content of `rows(part, ...)`, as JSON for stage keys. Contains the seed only
        if rows are drawn, and the split only if rows are split."""
        if part == "train" and labelled and self.held_out:
            text = f"all rows of {self.title} are test, so nothing may read their labels to learn"
            raise DataError(Fault(f"{self.word}.whole", text, "true", do=f"{self.word}.whole=false cuts a test part"))
        if labelled and self.folded(part):
            which = {"fold": self.view.fold, "of": self.view.folds, "seed": self.view.split_seed, "part": part}
            pool = self.pool if part == "train" else self.pool._clean
            return {**pool.key("train", labelled=True, seed=seed), "fold": which}
        raw_part, _ = self.parts[part]
        limits = self._limits(part) if labelled else {}
        whole = part in self.raw.parts and not self._cuts(part)
        split = {} if whole else {"shares": self._shares(), "seed": self.view.split_seed}
        noise = self._noise(part) if labelled else {}
        return {
            "content": self.fingerprint,
            "part": [part, raw_part],
            "classes": list(self.classes),
            "split": split,
            "draw": {**limits, "seed": seed} if limits else {},
            **({"noise": noise} if noise else {}),
            **({"known": list(self.known)} if self.known else {}),
        }

    def folded(self, part: str) -> bool:
        """Whether a fold determines the labelled rows of `part`."""
        return self.view.fold is not None and part in ("train", "val")

    @property
    def pool(self) -> "DataSet":
        """The same data set without a fold; its labelled training rows are divided into folds."""
        return replace(self, view=replace(self.view, fold=None))

    @property
    def _clean(self) -> "DataSet":
        """The same data set without label noise."""
        return replace(self, view=replace(self.view, label_noise=0.0))

    def fold(self, part: Part, seed: int) -> np.ndarray:
        """Positions of the rows of `part` among the labelled training rows of `pool`, ascending. Folds are stratified
        by class, and copies stay in one fold."""
        rows = replace(self.pool._clean, known=()).rows("train", seed=seed)
        groups = copies(self.raw) if rows.part == "train" else None
        own = None if groups is None else groups[rows.index]
        validation = folds(rows.labels, self.classes, self.view.folds, self.view.split_seed, own) == self.view.fold
        return np.flatnonzero(validation if part == "val" else ~validation)

    def sizes(self) -> dict[str, int]:
        """Number of rows of each part, with or without labels."""
        return {part: len(index) for part, (_, index) in self.parts.items()}

    def statistics(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, float32 [K], of the target numbers of labelled training rows. A deviation of 0
        is replaced by 1."""
        numbers = np.asarray(self.rows("train", seed=seed).targets, np.float64)
        deviation = numbers.std(0)
        return numbers.mean(0).astype(np.float32), np.where(deviation > 0, deviation, 1.0).astype(np.float32)

    def counts(self, part: Part) -> dict[str, int]:
        """Number of rows of each class in one part, with or without labels."""
        raw_part, index = self.parts[part]
        counts = np.bincount(self._renumbered(raw_part, index), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def changed(self, cache: Path) -> Path | None:
        """The first source file whose content has changed since the fingerprint; None if no file has changed."""
        now = digests(self.raw.sources, cache)
        return next((path for path in self.raw.sources if now[path] != self.raw.digests[path]), None)

    def _renumbered(self, raw_part: str, index: np.ndarray) -> np.ndarray:
        lookup = np.full(len(self.raw.classes), -1, np.int64)
        lookup[[self.raw.classes.index(name) for name in self.classes]] = np.arange(len(self.classes))
        return np.asarray(lookup[self.raw.parts[raw_part].labels[index]])

    def _by_name(self, labels: np.ndarray) -> np.ndarray:
        if not self.known:
            return labels
        place = {name: number for number, name in enumerate(self.known)}
        lookup = [place[name if name in place else UNKNOWN] for name in self.classes]
        return np.asarray(np.array(lookup, np.int64)[labels])

    def _limits(self, part: str) -> dict[str, Any]:
        view = self.view
        if part == "val":
            return {} if view.val_shots is None else {"shots": view.val_shots}
        if part == "train" and view.shots is not None:
            return {"shots": view.shots}
        return {"fraction": view.fraction} if part == "train" and view.fraction is not None else {}

    def _noise(self, part: str) -> dict[str, Any]:
        view = self.view
        if part != "train" or not view.label_noise:
            return {}
        return {"share": view.label_noise, "kind": view.noise_kind, "seed": view.noise_seed}

    def _cuts(self, part: str) -> bool:
        return part == "train" and any(share > 0 for share in self._shares())

    def _shares(self) -> list[float]:
        return shares(self.raw, self.view, self.word)


def held_out(view: View, word: str) -> bool:
    """Whether all rows are test rows: in a whole target. In a whole source all rows are training rows."""
    return view.whole and word != "source"


def shares(raw: Raw, view: View, word: str) -> list[float]:
    """Shares of the raw training part that are split off, [test, val]; 0 for parts that the data contain already."""
    if held_out(view, word):
        return [1.0, 0.0]
    test = 0.0 if "test" in raw.parts or view.whole else raw.test_fraction
    return [test, 0.0 if "val" in raw.parts else view.val_fraction]
