"""The screen of `transfer` without arguments: a list of goals with their commands. Its imports are light."""

from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.rundir import rundir
from transfer_cli.runner import local_inventory
from transfer_cli.runner.options import Options

QUESTION = "transfer: which source model, which strategy, and is the difference real?"
GOALS = (
    ("your data", "transfer data check ./pictures"),
    ("one run", "transfer run data=./pictures model=resnet18 weights=imagenet"),
    ("compare", "transfer run strategy=scratch,fine_tune data=cifar10 --seeds 5"),
    ("look", "transfer list"),
    ("", "transfer show last"),
    ("", "transfer compare last"),
    ("use", "transfer predict last ./new -o new.csv"),
    ("try, 20 s", "transfer run experiment=hello"),
)
BESIDE = {"transfer run experiment=hello": "      (own data, works offline)"}


def main(options: Options) -> int:
    """Example: transfer"""
    screen = Screen.of(options)
    if screen.format == "table" and screen.file is None:
        screen.write("\n".join([QUESTION, *lines(), f"{here(options)}    all: transfer --help"]) + "\n")
        return 0
    rows = [{"goal": goal, "command": command} for goal, command in goals()]
    columns = [Column("goal"), Column("command")]
    screen.show(Table(columns, rows, QUESTION, [here(options)], schema="first/1"))
    return 0


def goals() -> list[tuple[str, str]]:
    """Pairs of goal and command; the goal is repeated where it has several commands."""
    named: list[tuple[str, str]] = []
    for goal, command in GOALS:
        named.append((goal or named[-1][0], command))
    return named


def lines() -> list[str]:
    """One line for each goal, with all its commands."""
    out: list[str] = []
    for goal, command in GOALS:
        if goal:
            out.append(f"  {goal:<12} {command}{BESIDE.get(command, '')}")
        else:
            out[-1] += f"      {command}"
    return out


def here(options: Options) -> str:
    """`here: 3 data sets, 2 weights, 0 runs; cpu, 2 threads.`"""
    counts = {
        "data set": len(local_inventory.data_sets(options.runs)),
        "weights file": len(local_inventory.weights(options.runs)),
        "run": len(rundir.folders(options.runs)),
    }
    counted = ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    return f"here: {counted}; cpu, {local_inventory.threads()} threads."
