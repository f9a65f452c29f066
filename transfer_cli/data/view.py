"""View: the keys that every data node has in addition to those of its reader."""

from dataclasses import dataclass
from typing import Annotated, Literal

from transfer_cli.data.shift import Shift
from transfer_cli.ranges import Range


@dataclass(frozen=True, kw_only=True)
class View:
    """Which rows of a data set are used, and how.

    `default_model` and `default_source` apply if the command names no other. `val_fraction` of train (of all rows, if
    the data have no test part) becomes the validation part, split by `split_seed`. `shots` per class, or a `fraction`,
    limit the labels for training; `val_shots` limits those for validation. `fold`: the labelled training rows are
    divided into `folds` parts, of which this one (from 0) is for validation and the others for training. `classes`:
    names or positions. `augment`: null means none, and for source=base the policy of the target, because both are
    pictures of one data set. `rename`, `skip` and `groups`: see curate.py. `label_noise`: the share of wrong training
    labels in every class, drawn by `noise_seed`; symmetric: any other class; asymmetric: the next class. Labels of
    validation and test do not change. `whole`: keeps a domain undivided. Every row of a whole target is a test row, and
    also an unlabelled training row; every row of a whole source is a training row, except for validation. `shift`: an
    artificial domain shift, see shift.py; `shift_amount`: degrees (rotated) or a standard deviation (noisy)."""

    default_model: str = "resnet18"
    default_source: str = "base"
    val_fraction: Annotated[float, Range(0, 0.9)] = 0.1
    split_seed: int = 0
    shots: Annotated[int, Range(1)] | None = None
    val_shots: Annotated[int, Range(1)] | None = None
    fraction: Annotated[float, Range(0, 1, above=True)] | None = None
    fold: Annotated[int, Range(0)] | None = None
    folds: Annotated[int, Range(2)] = 5
    classes: list | None = None  # type: ignore[type-arg]  # names or positions
    rename: dict[str, str] | None = None
    skip: list[str] | None = None
    groups: list[list[str]] | None = None
    augment: Literal["none", "weak", "strong"] | None = None
    label_noise: Annotated[float, Range(0, 1)] = 0.0
    noise_kind: Literal["symmetric", "asymmetric"] = "symmetric"
    noise_seed: int = 0
    whole: bool = False
    shift: Literal["rotated", "coloured", "blended", "noisy", "inverted"] | None = None
    shift_amount: float | None = None

    @property
    def shifted(self) -> Shift | None:
        """The shift with its amount, or None."""
        return Shift.of(self.shift, self.shift_amount, "data") if self.shift else None
