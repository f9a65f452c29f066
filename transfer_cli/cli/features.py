"""transfer predict RUN --features -o FILE.npz: the features that a run's net has of its target, or of data=..., part by
part with their labels, as data=FILE.npz takes them. Parts are those of the data: what was test stays test."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_cli.cli.options import Options
from transfer_cli.cli.predict import finished, predicting_of
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.safe import safe
from transfer_cli.store.disk import put

if TYPE_CHECKING:
    from transfer_cli.data.dataset import DataSet


def export(options: Options) -> int:
    """Example: transfer predict last --features -o usps.npz"""
    out = _place(options)
    run = finished(replace(options, words=()))
    predicting = predicting_of(run, options)
    data = _data(predicting, options)
    arrays = predicting.features(data)
    model = run["config"]["model"]
    about = f"features of run {run['id']}, {model.get('name', model['family'])}, of {data.title}"
    stream = io.BytesIO()
    np.savez(stream, classes=np.array(data.classes), about=np.array(about), **arrays)
    put(out, stream.getvalue())
    screen = Screen.of(options)
    sizes = ", ".join(
        f"{part} {len(arrays[f'{part}_labels']):,}" for part in data.sizes() if f"{part}_labels" in arrays
    )
    screen.note(f"{safe(about)}: {arrays['train_features'].shape[1]:,} numbers a row, {sizes}")
    screen.note(f"written: {out}")
    screen.note(f"next  transfer run strategy=linear_probe pretrain=none model=identity data={out}")
    return 0


def _place(options: Options) -> Path:
    if options.out is None or options.out.suffix != ".npz":
        raise ConfigError(Fault("--features", "wants -o FILE.npz", str(options.out) if options.out else None))
    if odd := [word for word in options.words if word.partition("=")[0].partition(".")[0] not in ("data", "plugins")]:
        raise ConfigError(Fault(odd[0], "predict --features takes data=... and plugins=..."))
    return options.out


def _data(predicting: Any, options: Options) -> "DataSet":
    """The data that words name, else the run's target. Raises ConfigError for rows that the net does not read."""
    from transfer_cli.config.compose import load
    from transfer_cli.data.open import describe

    data: DataSet | None = None
    if any(word.startswith("data") for word in options.words):
        values = load([*options.words, "strategy=scratch"], config_dirs=options.config_dirs).values
        data = describe(values["data"], cache=options.runs / ".cache", plugins=values["plugins"])
    data = data or predicting.target()
    if data.raw.kind != predicting.reads:
        text = f"the net reads {predicting.reads}, and {data.title} are {data.raw.kind}"
        raise ConfigError(Fault("data", text))
    if data.raw.task != "classify":
        raise ConfigError(Fault("data", f"{data.title} has no classes, so its features have no labels"))
    return data
