"""The screen of a run: its first line, its plan and its results, from the results of the run and the rows of its
plan."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.report.labels import cell
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.report.view_tables import view_tables
from transfer_cli.selection_rules import RULES

ACROSS = 4  # the most selection rules side by side; more of them become rows
EMPTY = {"what": "", "size": None, "seconds": None}  # entries of a stage without a method
STAGES = ("pretrain", "align", "fine_tune")


def header(run: Run) -> str:
    """The first line of a run: `fine_tune  mnist → usps   lenet, weights none   seed 0   run k7q2md`."""
    choices = run.choices
    return "   ".join([
        f"{choices.get('strategy', 'run')}  {run_labels.path_of_data(run)}{_base(choices)}",
        f"{choices.get('model', '')}, weights {Path(str(run.config.get('weights', 'none'))).name}",
        f"seed {run.seed}",
        f"run {run.id}",
    ])  # fmt: skip


def _base(choices: Mapping[str, str]) -> str:
    return " (source: its other classes)" if choices.get("source") == "base" else ""


def plan(
    rows: Sequence[Mapping[str, Any]], notes: Sequence[str], screen: Screen, *, title: str = "", next: str = ""
) -> None:
    """Shows the stages of a run, before or after it is computed. `rows`: stage, state, what, size (bytes), seconds
    (None if unknown)."""
    columns = [
        Column("stage"),
        Column("what"),
        Column("state", state=True),
        Column("size", "B"),
        Column("time", align="right", only="screen"),
        Column("seconds", only="machine"),
        Column("key", only="json"),
    ]
    timed = [{**row, "time": _time(row), **(EMPTY if row["state"] == "none" else {})} for row in rows]
    screen.show(Table(columns, timed, title, notes, next, "plan/1"))


def stage_rows(run: Run) -> list[dict[str, Any]]:
    """The stages of a run as rows for `plan`."""
    return [
        {"stage": stage.name, "what": stage.what, "state": stage.state, "size": stage.size, "seconds": stage.seconds}
        | {"key": stage.key}
        for stage in run.stages
    ]


def _time(row: Mapping[str, Any]) -> str:
    """The time of a stage; for a stage that is not done an estimate, or `unknown`."""
    seconds = row.get("seconds")
    if row["state"] in ("to do", "waiting", "running"):
        return "unknown" if seconds is None else numbers.about(seconds)
    return "" if seconds is None or row["state"] == "none" else numbers.duration(seconds)


def results(run: Run, screen: Screen, path: Path | None = None) -> None:
    """Shows the results of a run: its metrics under every rule, its cost, its path and the suggested next command. With
    -q only the path; JSON is results.json itself; TSV and CSV have one line for each metric and rule."""
    if screen.quiet and not screen.json:
        screen.write(f"{path or run.id}\n")
    elif screen.json:
        screen.answer(run.document)
    elif screen.format in ("tsv", "csv"):
        screen.show(long(run))
    else:
        screen.show(*view_tables(run), side_by_side(run, path))


def long(run: Run) -> Table:
    """A table with one row for each rule and metric: metric, rule, value, lo, hi, n, run."""
    columns = [
        Column("metric"),
        Column("rule"),
        Column("value", interval=True, ends=("lo", "hi")),
        Column("n", "n"),
        Column("run"),
    ]
    rows = [
        {"metric": run.part + name, "rule": rule, "value": metric.interval, "n": metric.n or None, "run": run.id}
        for rule in rules_of(run)
        for name, metric in sorted(run.scores(rule).items())
    ]
    return Table(columns, rows, schema="results/1")


def side_by_side(run: Run, path: Path | None = None) -> Table:
    """The table on a screen. A star marks the rule of the headline; values of an oracle are in brackets, because they
    are not results."""
    rules, shown = rules_of(run), shown_metrics(run)
    if len(rules) > ACROSS:
        return _rules_as_rows(run, shown, path)
    columns = [
        Column("metric", head=_title(run)),
        *(Column(rule, head=_starred(rule, run), align="right") for rule in rules),
    ]
    rows = [
        {"metric": run.measure(name).heading, **{rule: cell(run.metric(name, rule), rule) for rule in rules}}
        for name in shown
    ]
    steps = {rule: numbers.count(step) for rule in rules if (step := run.step(rule)) is not None}
    if len(rules) > 1 and steps:
        rows.append({"metric": "at step", **steps})
    return Table(columns, rows, notes=_notes(run, path), next=next_command(run), schema="results/1")


def _rules_as_rows(run: Run, shown: Sequence[str], path: Path | None) -> Table:
    """The same table with one row for each rule, if there are too many rules for columns."""
    columns = [
        Column("rule", head=_title(run)),
        *(Column(name, head=run.measure(name).heading, align="right") for name in shown),
        Column("step", head="at step", align="right"),
    ]
    rows = [
        {
            "rule": _starred(rule, run),
            **{name: cell(run.metric(name, rule), rule) for name in shown},
            "step": "" if (step := run.step(rule)) is None else numbers.count(step),
        }
        for rule in rules_of(run)
    ]
    return Table(columns, rows, notes=_notes(run, path), next=next_command(run), schema="results/1")


def _starred(rule: str, run: Run) -> str:
    return rule + "*" * (rule == run.rule)


def rules_of(run: Run) -> list[str]:
    """The selection rules under which a run was evaluated, in the order of RULES. Marks have their own table."""
    return sorted(run.rules, key=lambda rule: (rule not in RULES, RULES.index(rule) if rule in RULES else 0))


def shown_metrics(run: Run) -> list[str]:
    """Names of the metrics that a screen shows, the primary one first, then in the order of the measures."""
    available = {name for rule in run.rules for name in run.names(rule)}
    return [name for name, measure in run.measures.items() if measure.shown and name in available]


def _title(run: Run) -> str:
    over, n = (run.headline.over, run.headline.metric.n) if run.headline else ("", 0)
    scored = next((stage.what for stage in run.stages if stage.name == "evaluate"), "")
    part = "val" if over.startswith("val ") else "test"
    title, separator, _ = scored.partition(f" {part} ")
    return f"{title if separator else run_labels.data(run)} {part}, {numbers.count(n)} {over.removeprefix(f'{part} ')}"


def _notes(run: Run, path: Path | None) -> list[str]:
    head, rules = run.headline, rules_of(run)
    interval = head is not None and head.metric.half == head.metric.half
    absent = [rule for rule in ("source_val", "target_val") if rule not in rules]
    star = "* the headline" + (f".  {', '.join(absent)}: not kept by the last stage" if absent else "")
    over = "these draws; one seed of training" if head is None or head.over_draws else f"these {head.over}; one seed"
    return [
        *([star] if rules else []),
        *(["in brackets: picked on test, no result"] if "oracle" in rules else []),
        *([f"± 95 % over {over} says nothing about other seeds"] if interval else []),
        *run.notes,
        *_domains(run),
        cost(run.cost),
        f"run   {run.id}" + (f"  {path}" if path else ""),
    ]


def _domains(run: Run) -> list[str]:
    """The distance between source and target in the features, before and after."""
    if not run.domains:
        return []
    before, after = run.domains["before"], run.domains["after"]
    accuracy = [f"{100 * when['domain_accuracy']:.0f} %" for when in (before, after)]
    far = [f"{when['a_distance']:.2f}" for when in (before, after)]
    return [f"source and target: told apart {accuracy[0]} before, {accuracy[1]} after; A-distance {far[0]}, {far[1]}"]


def scored(run: Run) -> str:
    """The result of a finished run in one line: `done  accuracy 90.9 ±1.3 %  6m 22s`."""
    if run.headline is None:
        return "done  no evaluation"
    metric = run.headline.metric
    value = f"{cell(metric, run.headline.rule)}{metric.measure.suffix}"
    return f"done  {metric.measure.label} {value}  {numbers.duration(run.cost.get('seconds', 0.0))}"


def cost(cost: Mapping[str, float]) -> str:
    """`cost  6m 22s (2m 41s now, 3m 41s cached)  1.2 M trained  0 target labels  0.9 GB` (peak memory)."""
    total, cached = cost.get("seconds", 0.0), cost.get("seconds_cached", 0.0)
    trained, parameters = cost.get("trained", 0), cost.get("parameters", 0)
    split = f" ({numbers.duration(total - cached)} now, {numbers.duration(cached)} cached)" if cached else ""
    return "  ".join([
        f"cost  {numbers.duration(total)}{split}",
        f"{numbers.short(trained)} trained" + (f" of {numbers.short(parameters)}" if parameters != trained else ""),
        f"{numbers.count(round(cost.get('labels', 0)))} target labels",
        f"{numbers.size(cost.get('peak_bytes', 0))}",
    ])  # fmt: skip


def next_command(run: Run) -> str:
    """The suggested next command: more seeds, together with a baseline if the words allow one; for a run without
    training, `show`."""
    words = [word for word in run.words if not word.startswith("seed=")]
    strategy, keys = run.choices.get("strategy", "fine_tune"), {word.split("=")[0] for word in words}
    if strategy == "none":
        return f"transfer show {run.id}"
    own = [word for word in words if not word.startswith("strategy=")]
    unlabelled = not run.cost.get("labels")
    other = "none" if unlabelled else "linear_probe" if "weights" in keys else "scratch"
    mixed = any(key in STAGES or key.split(".")[0] in STAGES for key in keys)
    if strategy in ("scratch", "linear_probe", "few_shot") or mixed or "experiment" in keys:
        return shlex.join(["transfer", "run", *words, "--seeds", "5"])
    return shlex.join(["transfer", "run", f"strategy={other},{strategy}", *own, "--seeds", "5"])
