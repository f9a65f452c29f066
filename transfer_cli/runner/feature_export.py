"""Exports the features that a run's net computes for a data set, as one .npz file for `data=FILE.npz`. The parts are
kept: test rows are test rows in the file, too."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.runner.loaded import Results, load_net
from transfer_cli.runner.options import Options
from transfer_cli.store.disk import put

if TYPE_CHECKING:
    from transfer_cli.data.dataset import DataSet


@dataclass(frozen=True)
class ExportedFeatures:
    """A summary of the file. `about`: the net and the data; `width`: numbers in each row; `rows`: the number of rows of
    each part."""

    about: str
    width: int
    rows: dict[str, int]


def export_features(run: Results, options: Options, out: Path) -> ExportedFeatures:
    """Writes the features of the run's target, or of the data that the words name. Raises ConfigError for data of a
    kind that the net does not read, and for data without classes."""
    net = load_net(run, options)
    data = _data(net, options)
    arrays = net.features(data)
    model = run["config"]["model"]
    about = f"features of run {run['id']}, {model.get('name', model['family'])}, of {data.title}"
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, classes=np.array(data.classes), about=np.array(about), **arrays)
    put(out, stream.getvalue())
    rows = {part: len(arrays[f"{part}_labels"]) for part in data.sizes() if f"{part}_labels" in arrays}
    return ExportedFeatures(about, arrays["train_features"].shape[1], rows)


def _data(net: Any, options: Options) -> "DataSet":
    from transfer_cli.config.compose import load
    from transfer_cli.data.open import describe

    data: DataSet | None = None
    if any(word.startswith("data") for word in options.words):
        values = load([*options.words, "strategy=scratch"], config_dirs=options.config_dirs).values
        data = describe(values["data"], cache=options.runs / ".cache", plugins=values["plugins"])
    data = data or net.target()
    if data.raw.kind != net.reads:
        raise ConfigError(Fault("data", f"the net reads {net.reads}, and {data.title} are {data.raw.kind}"))
    if not data.raw.has_classes:
        raise ConfigError(Fault("data", f"{data.title} has no classes, so its features have no labels"))
    return data
