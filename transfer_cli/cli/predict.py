"""transfer predict RUN PATH: predicts classes, labels, numbers or entities for pictures, texts or rows of numbers with
the net of a finished run. With --features it writes the features of a data set to a file."""

from dataclasses import replace
from pathlib import Path

from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.report.prediction_table import prediction_table
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.runner.loaded import finished_run, load_net
from transfer_cli.runner.options import Options
from transfer_cli.safe import safe


def main(options: Options) -> int:
    """Shows one row for each input, in order. The row of an input that cannot be read holds an error, and then the exit
    code is 4 (DataError)."""
    if options.features:
        return _features(options)
    if not options.args:
        do = "transfer predict last ./new"
        raise ConfigError(Fault("predict", "needs a picture, a folder, a CSV or texts", do=do))
    *refs, place = options.args
    net = load_net(finished_run(options, refs, options.words), options, "predict")
    rows = list(net.answers(net.at(Path(place).expanduser())))
    screen = _screen(options)
    screen.show(prediction_table(rows, net.columns))
    bad = [row for row in rows if row["error"]]
    noun = net.kind.one
    screen.note(f"{len(rows)} {noun}{'s' * (len(rows) != 1)}: {len(rows) - len(bad)} predicted, {len(bad)} unreadable")
    if bad:
        raise DataError(*(Fault(row["path"], row["error"]) for row in bad[:5]))
    return 0


def _screen(options: Options) -> Screen:
    """The screen of `predict`: it writes CSV to a file or a pipe, where other commands write TSV."""
    screen = Screen.of(options)
    piped = options.out or not terminal(screen.out)
    return replace(screen, format="csv") if options.format is None and not options.json and piped else screen


def _features(options: Options) -> int:
    from transfer_cli.runner.feature_export import export_features

    out = options.out
    if out is None or out.suffix != ".npz":
        raise ConfigError(Fault("--features", "needs -o FILE.npz", str(out) if out else None))
    if odd := [word for word in options.words if word.partition("=")[0].partition(".")[0] not in ("data", "plugins")]:
        raise ConfigError(Fault(odd[0], "predict --features takes data=... and plugins=..."))
    exported = export_features(finished_run(options, options.args), options, out)
    screen = Screen.of(options)
    sizes = ", ".join(f"{part} {count:,}" for part, count in exported.rows.items())
    screen.note(f"{safe(exported.about)}: {exported.width:,} numbers a row, {sizes}")
    screen.note(f"written: {out}")
    screen.note(f"next  transfer run strategy=linear_probe pretrain=none model=identity data={out}")
    return 0
