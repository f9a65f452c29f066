"""transfer verify: checks an experiment against its expected number, or the files of a run against their checksums."""

from transfer_cli.analysis.statistics import Interval
from transfer_cli.errors import Differs, Fault
from transfer_cli.report.labels import value_text
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.options import Options
from transfer_cli.runner.verify import Verdict, verify_experiment, verify_files


def main(options: Options) -> int:
    """Example: transfer verify experiment=hello. Raises Differs (exit 9) if the number is outside the tolerance."""
    screen = Screen.of(options)
    if not any(word.startswith("experiment=") for word in options.words):
        files, stages = verify_files(options)
        screen.write(f"{files} files of {stages} stages are as they were written\n")
        return 0
    verdict = verify_experiment(options, screen)
    _show(verdict, screen)
    if verdict.agrees:
        return 0
    expect = verdict.expect
    text = f"{expect.metric} is {verdict.difference:+.4g} off, allowed {expect.tolerance:.4g}"
    raise Differs(Fault(" ".join(options.words), text))


def _show(verdict: Verdict, screen: Screen) -> None:
    """Shows the expected number, the reached one and their difference."""
    expect, reached, n = verdict.expect, verdict.reached, len(verdict.values)
    if screen.json:
        facts = {
            "value": reached.value,
            "expected": expect.value,
            "tolerance": expect.tolerance,
            "agrees": verdict.agrees,
        }
        screen.answer({"schema": "verify/1", "metric": expect.metric, "rule": expect.rule, "n": n, **facts})
        return
    short = f", short version: {' '.join(expect.words)}" if expect.words else ""
    lines = [
        ("expected", _number(verdict, expect.value, expect.tolerance), expect.source),
        ("got", _number(verdict, reached.value, reached.half), f"{n} seed{'s' * (n > 1)}, {expect.rule}{short}"),
        ("difference", _number(verdict, verdict.difference), "AGREES" if verdict.agrees else "DIFFERS"),
    ]
    columns = [Column("what"), Column("number", head=expect.metric, align="right"), Column("of", head="")]
    screen.show(Table(columns, [dict(zip(("what", "number", "of"), line)) for line in lines], schema="verify/1"))


def _number(verdict: Verdict, value: float, half: float = float("nan")) -> str:
    """A value with the half width of its interval, if it has one."""
    return value_text(Interval(value, value - half, value + half), verdict.measure)
