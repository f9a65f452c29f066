"""Vectors: the input of models, rows on a device, and reading of new rows of numbers. Values are not standardised here;
models that need it do it themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from transfer_cli.data.placement import placed, sent
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.kinds._kind import Json, Kind, Named, unlabelled
from transfer_cli.kinds._specs import input_fault, spec_of
from transfer_cli.lazy import Lazy
from transfer_cli.ranges import Range

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from transfer_cli.contracts import DeviceDataset, Inputs
    from transfer_cli.data.dataset import DataSet, Rows
else:
    torch = Lazy("torch")

NOISE = {"weak": 0.05, "strong": 0.2}  # standard deviation of added noise, relative to that of the column
MOST_WIDTH = 2**20


@dataclass(frozen=True, kw_only=True)
class Input:
    """Rows of `width` numbers; null: as many as the data have."""

    width: Annotated[int, Range(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class VectorSpec:
    """The vectors that a model reads: `width` numbers per row. Raises ConfigError if `width` is out of range."""

    width: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MOST_WIDTH:
            raise ConfigError(input_fault("width", self.width, f"allowed 1 to {MOST_WIDTH:,}"))

    def example(self, rows: int = 1) -> "dict[str, Tensor]":
        """Example inputs of a net, all zeros."""
        return {"vectors": torch.zeros(rows, self.width)}


class Vectors(Kind):
    """The rows of a part form one float32 matrix."""

    input = ("width",)
    usual = "mlp_vectors"
    noun = "vectors"
    one = "row"
    field = "vector"

    def spec(self, given: Mapping[str, Any]) -> VectorSpec:
        return spec_of(VectorSpec, given)

    def fit(self, spec: Json, target: "DataSet", source: "DataSet | None", seed: int, cache: Path) -> Json:
        """Adds the width of the rows. Raises DataError if target and source have rows of different widths."""
        wanted = spec["width"]
        for data in filter(None, (target, source)):
            width = int(data.raw.parts["train"].read().shape[1])
            if wanted not in (None, width):
                raise DataError(
                    Fault(data.word, f"has {width:,} numbers per row, the model reads {wanted:,}", data.title)
                )
            wanted = width
        return {"width": wanted}

    def store(
        self, data: "DataSet", part: str, model: Json, cache: Path, device: "torch.device", poll: Callable[[], None]
    ) -> "Tensor":

        return placed(np.ascontiguousarray(data.raw.parts[part].read(), np.float32), device)

    def rows(self, stored: Any, data: "DataSet", rows: "Rows", model: Json, device: "torch.device") -> "DeviceDataset":
        return VectorRows(stored, rows, policy=data.augment, device=device)

    def preprocessing(self, given: Mapping[str, Any], tokenizer: str = "") -> Json:
        return {"reads": "numbers", "width": int(given["width"])}

    def at(self, place: Path) -> list[Named]:
        """The rows of a table of numbers, a .npz or a .mat."""
        from transfer_cli.data.readers.features import matrix_of

        matrix = matrix_of(place)
        return [(f"{place.name} row {row + 1}", values) for row, values in enumerate(matrix)]

    def opened(self, row: Any, model: Json) -> np.ndarray:
        """The row as float32 [D]. Raises DataError if it has another width."""
        width = model["input"]["width"]
        if len(row) != width:
            raise DataError(Fault("row", f"has {len(row):,} numbers, the net of the run reads {width:,}"))
        return np.asarray(row, np.float32)

    def batch(self, rows: Sequence[np.ndarray], model: Json, cache: Path, device: "torch.device") -> "DeviceDataset":
        values = torch.from_numpy(np.stack(rows)).to(device)
        return VectorRows(values, unlabelled(len(rows)), policy="none", device=device)


class VectorRows:
    """Rows of `matrix` [N, D]. Returns {"vectors": float32 [B, D]}; policies "weak" and "strong" add Gaussian noise."""

    noun = "rows"
    targeted = False
    domains: "Tensor | None" = None
    chunk = 4096

    def __init__(self, matrix: "Tensor", rows: "Rows", *, policy: str, device: "torch.device") -> None:
        self.matrix = matrix.index_select(0, torch.from_numpy(rows.index.astype(np.int64)).to(matrix.device))
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)
        self.policy, self.device, self.home = policy, device, self.matrix.device
        self.spread = self.matrix.std(0, correction=0).to(device)
        self.cut = 0

    def __len__(self) -> int:
        return len(self.labels)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order

    def in_order(self) -> "Tensor":
        return torch.arange(len(self), device=self.home)

    def gather(self, index: "Tensor", policy: str, rng: Callable[[], np.random.Generator]) -> "tuple[Inputs, Tensor]":

        rows = sent(self.matrix.index_select(0, index), self.device)
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            noise = sent(torch.from_numpy(rng().standard_normal(rows.shape, np.float32)), self.device)
            rows = rows + NOISE[policy] * self.spread * noise
        return {"vectors": rows}, self.labels.index_select(0, sent(index, self.device))
