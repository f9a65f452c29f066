"""transfer export RUN --to safetensors|onnx|torch_export: the net of a finished run as one file for other programs,
with what must be done to its inputs beside it, checked against the run's own predictions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.cli.options import ONE_OF, Options
from transfer_cli.cli.predict import finished, predicting_of
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.safe import check_name, shown

COLUMNS = (
    Column("path"),
    Column("format"),
    Column("bytes"),
    Column("rows"),
    Column("equal"),
    Column("max_difference"),
    Column("latency", unit="s"),
    Column("latency_run", unit="s"),
)


def main(options: Options) -> int:
    """Example: transfer export last --to onnx -o model.onnx"""
    if not options.to:
        known = ", ".join(ONE_OF["to"])
        raise ConfigError(Fault("--to", f"wants one of {known}", do="transfer export last --to onnx"))
    words = tuple(word for word in options.words if not word.startswith("plugins="))
    run = finished(replace(options, words=words))
    from transfer_cli.export.exporting import export, format_of

    kind = format_of(options.to)
    kind.check(options.quantize)
    path = _place(run, kind.SUFFIX, options)
    screen = Screen.of(replace(options, out=None))  # -o is the program's place, not the answer's
    _tell(export(predicting_of(run, options), options.to, path, options.quantize), path, screen)
    return 0


def _place(run: dict[str, Any], suffix: str, options: Options) -> Path:
    """Where the program goes. Raises ConfigError rather than replace a file that the user did not name."""
    if options.out is not None:
        if not options.out.parent.is_dir():
            raise ConfigError(Fault("-o", "its folder is not there", str(options.out)))
        return options.out
    path = Path(check_name(run["id"]) + ("-int8" if options.quantize else "") + suffix)
    if path.exists() and not options.yes:
        raise ConfigError(Fault(path.name, "is there already", do="-y replaces it, -o FILE writes another"))
    return path


def _tell(note: dict[str, Any], path: Path, screen: Screen) -> None:
    check = note["check"]
    if screen.json:
        screen.answer({**note, "path": str(path)})
        return
    if screen.format != "table":
        row = {**note, **check, "latency": check["latency_s"], "latency_run": check["latency_run_s"], "path": str(path)}
        screen.show(Table(COLUMNS, [row], schema="export/1"))
        return
    inputs = ", ".join(f"{name} [{','.join(map(str, shape))}]" for name, shape in note["inputs"].items())
    off = f"max {check['max_difference']:.1g}"
    off += f", allowed {check['allowed']:.1g}" if check["allowed"] is not None else ""
    equal = f"{check['equal']:,} of {check['rows']:,} answers equal ({off})"
    screen.say(f"{shown(path)}  {numbers.size(note['bytes'])}, {inputs}; {equal}")
    times = [f"{1000 * check[name]:.2g} ms" for name in ("latency_s", "latency_run_s")]
    threads = f"{check['threads']} thread{'s' * (check['threads'] != 1)}"
    screen.say(f"one row {times[0]}, the run's own net {times[1]} (medians of 50, {threads})")
    screen.say(f"classes and what to do to the inputs: {shown(path)}.json")
