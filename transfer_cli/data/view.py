"""View: how a data set is looked at. The keys of every data node beside those of its reader."""

from dataclasses import dataclass
from typing import Annotated, Literal

from transfer_cli.data.shift import Shift
from transfer_cli.ranges import Range


@dataclass(frozen=True, kw_only=True)
class View:
    """How a data set is looked at: keys of every data node beside the family's own. `default_model` and
    `default_source` are taken where no word names another. `val_fraction` is cut from train
    (of the whole, where the family has no test part) by `split_seed`; `shots` a class or a `fraction` are the labels
    to learn from, `val_shots` those to validate on; with `fold` these labels are cut into `folds` parts, of which that
    one (from 0) is to validate on and the others are to learn from; `classes` are names or positions; `augment` null is
    none, and of source=base what the target has: pictures of one data set are alike. `rename`, `skip` and `groups` are
    for curate.py. `label_noise` of the labels to learn from (of every class) are made wrong, drawn by `noise_seed`:
    symmetric, any other class; asymmetric, the next class. Labels of validation and test stay as they are.
    `whole` keeps a domain in one piece: every row of the target is test, and its training rows are the same ones, for
    methods that read no labels; every row of a source is to learn from, but for validation. `shift` makes another
    domain of the pictures, see shift.py; `shift_amount` is degrees (rotated) or a standard deviation (noisy)."""

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
        """The shift with its amount."""
        return Shift.of(self.shift, self.shift_amount, "data") if self.shift else None
