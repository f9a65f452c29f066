"""What every kind of row provides, and which kind a name or a model's input means. No torch until rows are opened.

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
Named = tuple[str, Any]  # what a person calls a new row, and the row as `opened` takes it


class Kind:
    """What a row is, from the model's input to the rows on a device.

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
        """`model.input` as words and files give it, checked by `Input`, with what follows from it. Raises ConfigError
        where its values do not go together."""
        return given

    def spec(self, given: Mapping[str, Any]) -> Any:
        """`model.input` checked, as families of models take it. Raises ConfigError."""
        raise NotImplementedError

    def fit(self, spec: Json, target: "DataSet", source: "DataSet | None", seed: int, cache: Path) -> Json:
        """`model.input` completed by what the data say (a vocabulary, a width). Raises DataError if data disagree."""
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
        """All rows of a raw part in the form that the model takes, made once for all loaders. `poll` is called once a
        row that takes long to open."""
        raise NotImplementedError

    def rows(self, stored: Any, data: "DataSet", rows: "Rows", model: Json, device: "torch.device") -> "DeviceDataset":
        """`rows` of what `store` gave."""
        raise NotImplementedError

    def preprocessing(self, given: Mapping[str, Any], tokenizer: str = "") -> Json:
        """What must happen to a new row before an exported program reads it, of a model with the input `given`;
        `tokenizer` is the file that stands beside the program, if the model has one."""
        return {"reads": self.item, **given}

    # new rows, for the verbs of a finished net
    def at(self, place: Path) -> list[Named]:
        """The rows that a path of the user means. Raises DataError if there are none."""
        raise NotImplementedError

    def opened(self, row: Any, model: Json) -> Any:
        """One row of `at`, decoded and fitted to the model. Raises DataError if that cannot be done."""
        return row

    def batch(self, rows: Sequence[Any], model: Json, cache: Path, device: "torch.device") -> "DeviceDataset":
        """Opened rows as a data set of their own."""
        raise NotImplementedError


def kind_named(name: str, plugins: Sequence[str] = ()) -> Kind:
    """The kind of a file name. Raises ConfigError if there is none."""
    found: Kind = load_class("kinds", name, plugins)()
    return found


def kinds(plugins: Sequence[str] = ()) -> dict[str, Kind]:
    """Every kind by name."""
    return {name: kind_named(name, plugins) for name in stems("kinds", plugins)}


def kind_reading(given: Mapping[str, Any], plugins: Sequence[str] = ()) -> tuple[str, Kind]:
    """The kind that a model with this `input` reads, by its distinguishing key. Raises ConfigError if there is none."""
    for name, kind in kinds(plugins).items():
        if kind.input[0] in given:
            return name, kind
    raise ConfigError(
        Fault("model.input", "is the input of no kind of row", str(dict(given)), do="transfer list kinds")
    )


def inputs_of(items: "DeviceDataset", index: "torch.Tensor") -> "Inputs":
    """Inputs of rows [B], without augmentation."""
    import numpy as np

    return items.gather(index, "none", np.random.default_rng)[0]


def unlabelled(count: int) -> Any:
    """All of `count` new rows, in order, with nothing known of them."""
    import numpy as np

    return SimpleNamespace(index=np.arange(count), labels=np.zeros(count, np.int64))
