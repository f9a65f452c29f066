"""transfer explain RUN INPUT ...: shows why a finished run gives its answers. For a picture it draws one heat map for
each likely class; for a text it prints what each word adds to the class. Each comes with the probability of the class
after the marked part is removed."""

from dataclasses import replace

from transfer_cli.errors import ConfigError, DataError, Fault, nearest
from transfer_cli.report.screen import Screen
from transfer_cli.runner.explanation_lines import show_explanations
from transfer_cli.runner.explanations import explain
from transfer_cli.runner.loaded import finished_run
from transfer_cli.runner.options import Options

METHODS = ("gradcam", "rollout", "occlusion", "gradients")


def main(options: Options) -> int:
    """Example: transfer explain last ./new/a.jpg -o explain"""
    if len(options.args) < 2:
        text = "needs a run and a picture, a folder or a text"
        raise ConfigError(Fault("explain", text, do="transfer explain last ./new/a.jpg"))
    by = _method(options)
    run = finished_run(options, options.args[:1], options.words)
    explanations = explain(run, options.args[1:], by, options)
    show_explanations(explanations, Screen.of(replace(options, out=None)))  # -o is the folder of the drawings
    if bad := [one for one in explanations if one.error]:
        raise DataError(*(Fault(one.name, one.error) for one in bad[:5]))
    return 0


def _method(options: Options) -> str:
    """The method that --by names; "" without --by. Raises ConfigError for an unknown one."""
    by = ",".join(options.by)
    if by and by not in METHODS:
        raise ConfigError(Fault("--by", f"one of {', '.join(METHODS)}", by, METHODS, nearest(by, METHODS)))
    return by
