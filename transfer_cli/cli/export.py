"""transfer export RUN --to safetensors|onnx|torch_export: writes the net of a finished run as one file for other
programs, together with a description of its input, and checks the file against the run's own predictions."""

from dataclasses import replace
from pathlib import Path

from transfer_cli.cli.options import ONE_OF
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.export_lines import show_export
from transfer_cli.report.screen import Screen
from transfer_cli.runner.loaded import Results, finished_run, load_net
from transfer_cli.runner.options import Options
from transfer_cli.safe import check_name


def main(options: Options) -> int:
    """Example: transfer export last --to onnx -o model.onnx"""
    if not options.to:
        formats = ", ".join(ONE_OF["to"])
        raise ConfigError(Fault("--to", f"needs one of {formats}", do="transfer export last --to onnx"))
    run = finished_run(options, options.args, options.words)
    from transfer_cli.export.exporting import export, format_of

    file_format = format_of(options.to)
    file_format.check(options.quantize)
    path = _place(run, file_format.SUFFIX, options)
    screen = Screen.of(replace(options, out=None))  # -o is the place of the exported file
    show_export(export(load_net(run, options, "export"), options.to, path, options.quantize), path, screen)
    return 0


def _place(run: Results, suffix: str, options: Options) -> Path:
    """Path of the exported file. Raises ConfigError if a file that the user did not name would be replaced."""
    if options.out is not None:
        if not options.out.parent.is_dir():
            raise ConfigError(Fault("-o", "its folder is not there", str(options.out)))
        return options.out
    path = Path(check_name(run["id"]) + ("-int8" if options.quantize else "") + suffix)
    if path.exists() and not options.yes:
        raise ConfigError(Fault(path.name, "is there already", do="-y replaces it, -o FILE writes another"))
    return path
