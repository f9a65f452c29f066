"""Kind: the interface of a kind of row, and the lookup of kinds by name or by the input of a model. Imports torch only
when rows are opened.

A kind is a file of this folder with one class of the file's name, and a dataclass `Input` whose fields are the keys of
`model.input`. Configuration and plan read it, and class attributes, which are literals, from the syntax tree."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plugins import load_class, stems

if TYPE_CHECKING:
    import torch

    from transfer_cli.contracts import DeviceDataset, Inputs
    from transfer_cli.data.dataset import DataSet, Rows

Json = dict[str, Any]
Named = tuple[str, Any]  # the name of a new row for messages, and the row as `opened` takes it


class Kind:
    """A kind of row, such as pictures: the input of models, and rows on a device.

    `input`: keys of `model.input`, the one that no other kind has first. `usual`: the model taken where the data name a
    model of another kind. `noun`, `item`: what people call rows, and one of them; `one`: what a new row comes as.
    `code`: files of the package, beside the kind's own, on which its numbers depend. `augmentation`: the file that
    changes rows where a view draws, "" for none. `field`: the name of a row in a request of `serve`, "" where the body
    itself is the row, of a content-type like `media`. `explained`: what `explain` shows, "maps" over
    a picture or the "tokens" of a text, "" for nothing. `looks`: how a person looks at a row of the data, as "pixels"
    or as "words", "" for neither.
    `shifts`: whether `data.shift` can change rows."""

    input: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[str] = ""
    noun: ClassVar[str] = "rows"
    item: ClassVar[str] = "row"
    one: ClassVar[str] = "row"
    code: ClassVar[tuple[str, ...]] = ()
    augmentation: ClassVar[str] = ""
    field: ClassVar[str] = ""
    media: ClassVar[str] = "application/octet-stream"
    explained: ClassVar[str] = ""
    looks: ClassVar[str] = ""
    shifts: ClassVar[bool] = False

    def completed(self, given: Json) -> Json:
        """Completes `model.input` from the configuration, already checked by `Input`. Raises ConfigError if its values
        are inconsistent."""
        return given

    def spec(self, given: Mapping[str, Any]) -> Any:
        """`model.input` as the checked object that model families take. Raises ConfigError if it is invalid."""
        raise NotImplementedError

    def fit(self, spec: Json, target: "DataSet", source: "DataSet | None", seed: int, cache: Path) -> Json:
        """Completes `model.input` from the data (a vocabulary, a width). Raises DataError if data sets disagree."""
        return spec

    def store(
        self,
        data: "DataSet",
        part: str,
        model: Json,
        cache: Path,
        device: "torch.device",
        poll: Callable[[], None],
    ) -> Any:
        """All rows of a raw part in the form that the model reads, shared by all loaders. `poll` is called for each row
        that is slow to open, and may raise to stop."""
        raise NotImplementedError

    def rows(self, stored: Any, data: "DataSet", rows: "Rows", model: Json, device: "torch.device") -> "DeviceDataset":
        """The given rows of a part, from the result of `store`."""
        raise NotImplementedError

    def preprocessing(self, given: Mapping[str, Any], tokenizer: str = "") -> Json:
        """What must happen to a new row before an exported program reads it, of a model with the input `given`;
        `tokenizer` is the file that stands beside the program, if the model has one."""
        return {"reads": self.item, **given}

    # new rows, for the verbs of a finished net
    def at(self, place: Path) -> list[Named]:
        """The rows at a path that the user gives. Raises DataError if there are none."""
        raise NotImplementedError

    def opened(self, row: Any, model: Json) -> Any:
        """One row from `at`, decoded and converted to the input of the model. Raises DataError if that is
        impossible."""
        return row

    def batch(self, rows: Sequence[Any], model: Json, cache: Path, device: "torch.device") -> "DeviceDataset":
        """A data set of rows from `opened`."""
        raise NotImplementedError


def kind_named(name: str, plugins: Sequence[str] = ()) -> Kind:
    """The kind in the file of this name. Raises ConfigError if there is none."""
    kind: Kind = load_class("kinds", name, plugins)()
    return kind


def kinds(plugins: Sequence[str] = ()) -> dict[str, Kind]:
    """All kinds, by name."""
    return {name: kind_named(name, plugins) for name in stems("kinds", plugins)}


def kind_reading(given: Mapping[str, Any], plugins: Sequence[str] = ()) -> tuple[str, Kind]:
    """Name and kind of the rows that a model with this `input` reads. Raises ConfigError if no kind fits."""
    for name, kind in kinds(plugins).items():
        if kind.input[0] in given:
            return name, kind
    raise ConfigError(Fault("model.input", "matches no kind of row", str(dict(given)), do="transfer list models"))


def inputs_of(items: "DeviceDataset", index: "torch.Tensor") -> "Inputs":
    """The inputs of rows [B], without augmentation."""
    import numpy as np

    return items.gather(index, "none", np.random.default_rng)[0]


def unlabelled(count: int) -> Any:
    """The `count` new rows of a data set, in order, with labels 0 as placeholders."""
    import numpy as np

    return SimpleNamespace(index=np.arange(count), labels=np.zeros(count, np.int64))
