"""What a run shows: its first line, its plan, its results. Made of results.json and of plan rows, nothing else."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.statistics import Interval, inside, measured
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.selection_rules import RULES

Results = Mapping[str, Any]
OPEN_SET = ("os_star", "unknown", "hos")
METRICS = ("accuracy", "top5", *OPEN_SET, "f1", "nll", "ece", "bits_per_char", "perplexity")  # machines get all
ACROSS = 4  # selection rules side by side; more stand below each other
EMPTY = {"what": "", "size": None, "seconds": None}  # of a slot without a method
STAGES = ("pretrain", "align", "fine_tune")


def header(results: Results) -> str:
    """`fine_tune  mnist → usps   lenet, weights none   seed 0   run k7q2md`: what was taken."""
    choices, config = results["choices"], results["config"]
    return "   ".join([
        f"{choices.get('strategy', 'run')}  {run_labels.path_of_data(results)}{_base(choices)}",
        f"{choices.get('model', '')}, weights {Path(str(config.get('weights', 'none'))).name}",
        f"seed {config.get('seed', 0)}",
        f"run {results['id']}",
    ])  # fmt: skip


def _base(choices: Mapping[str, str]) -> str:
    return " (source: its other classes)" if choices.get("source") == "base" else ""


def plan(
    rows: Sequence[Mapping[str, Any]], notes: Sequence[str], screen: Screen, *, title: str = "", next: str = ""
) -> None:
    """The stages of a run before or after it. Rows: stage, state, what, size (bytes), seconds (None: not known)."""
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


def _time(row: Mapping[str, Any]) -> str:
    """What it took; of work still to do an estimate, or that there is none."""
    seconds = row.get("seconds")
    if row["state"] in ("to do", "waiting", "running"):
        return "unknown" if seconds is None else numbers.about(seconds)
    return "" if seconds is None or row["state"] == "none" else numbers.duration(seconds)


def results(results: Results, screen: Screen, path: Path | None = None) -> None:
    """The end of a run: every rule side by side, what it cost, where it lies, what to do next. With -q the path
    alone; JSON is results.json itself; a pipe gets a line a metric and rule."""
    if screen.quiet and not screen.json:
        screen.write(f"{path or results['id']}\n")
    elif screen.json:
        screen.answer(results)
    elif screen.format in ("tsv", "csv"):
        screen.show(long(results))
    else:
        screen.show(side_by_side(results, path))


def long(results: Results) -> Table:
    """One row a rule and metric: metric, rule, value, lo, hi, n, run."""
    columns = [
        Column("metric"),
        Column("rule"),
        Column("value", interval=True, ends=("lo", "hi")),
        Column("n", "n"),
        Column("run"),
    ]
    head = results["headline"] or {}
    rows = [
        {"metric": name, "rule": rule, "value": _interval(found, name, head), "n": head.get("n"), "run": results["id"]}
        for rule, found in by_rule(results).items()
        for name in sorted(found)
        if name.startswith(run_labels.SCORED) and not name.endswith(run_labels.CI)
    ]
    return Table(columns, rows, schema="results/1")


def side_by_side(results: Results, path: Path | None = None) -> Table:
    """The table for people; the headline's rule bears a star, and an oracle stands in brackets: it is no result."""
    rules = by_rule(results)
    known = [f"{part}{name}" for name in METRICS for part in run_labels.SCORED]
    shown = [name for name in known if any(name in found for found in rules.values())]
    if len(rules) > ACROSS:
        return _a_line_a_rule(results, shown, path)
    columns = [
        Column("metric", head=_title(results)),
        *(Column(rule, head=_starred(rule, results), align="right") for rule in rules),
    ]
    rows = [
        {"metric": run_labels.heading(name), **{rule: cell(found, name, rule) for rule, found in rules.items()}}
        for name in shown
    ]
    if len(rules) > 1 and any("step" in found for found in rules.values()):
        steps = {rule: numbers.count(found["step"]) for rule, found in rules.items() if "step" in found}
        rows.append({"metric": "at step", **steps})
    return Table(columns, rows, notes=_notes(results, path), next=next_command(results), schema="results/1")


def _a_line_a_rule(results: Results, shown: Sequence[str], path: Path | None) -> Table:
    """The same with more rules than a screen is wide."""
    columns = [
        Column("rule", head=_title(results)),
        *(Column(name, head=run_labels.heading(name), align="right") for name in shown),
        Column("step", head="at step", align="right"),
    ]
    rows = [
        {
            "rule": _starred(rule, results),
            **{name: cell(found, name, rule) for name in shown},
            "step": numbers.count(found["step"]) if "step" in found else "",
        }
        for rule, found in by_rule(results).items()
    ]
    return Table(columns, rows, notes=_notes(results, path), next=next_command(results), schema="results/1")


def _starred(rule: str, results: Results) -> str:
    return rule + "*" * (rule == (results["headline"] or {}).get("rule"))


def by_rule(results: Results) -> dict[str, Mapping[str, Any]]:
    """Test metrics by selection rule, in the order of RULES."""
    metrics = results["metrics"]
    return {
        rule: metrics[rule]
        for rule in sorted(metrics, key=lambda r: (r not in RULES, RULES.index(r) if r in RULES else 0))
    }


def _interval(found: Mapping[str, Any], name: str, head: Mapping[str, Any]) -> Interval:
    interval = measured(found[name], found.get(name + run_labels.CI), head)
    return inside(interval) if run_labels.is_share(name) else interval


def cell(found: Mapping[str, Any], name: str, rule: str) -> str:
    """One metric of one rule as people read it; an oracle's in brackets."""
    if name not in found:
        return ""
    value, half = found[name], found.get(name + run_labels.CI, float("nan"))
    text = numbers.plus_minus(
        Interval(value, value - half, value + half), scale=100 if run_labels.is_share(name) else 1
    )
    return f"({text})" if rule == "oracle" else text


def _title(results: Results) -> str:
    head = results["headline"] or {}
    over, n = str(head.get("over", "")), numbers.count(head.get("n") or 0)
    scored = next((stage.get("what", "") for stage in results["stages"] if stage["name"] == "evaluate"), "")
    part = "val" if over.startswith("val ") else "test"
    title, found, _ = scored.partition(f" {part} ")
    return f"{title if found else run_labels.data(results)} {part}, {n} {over.removeprefix(f'{part} ')}"


def _notes(results: Results, path: Path | None) -> list[str]:
    head, rules = results["headline"] or {}, by_rule(results)
    absent = [rule for rule in ("source_val", "target_val") if rule not in rules]
    star = "* the headline" + (f".  {', '.join(absent)}: not kept by the last stage" if absent else "")
    over = (
        "these draws; one seed of training"
        if str(head.get("over", "")).startswith("draws")
        else f"these {head.get('over')}; one seed"
    )
    return [
        *([star] if rules else []),
        *(["in brackets: picked on test, no result"] if "oracle" in rules else []),
        *([f"± 95 % over {over} says nothing about other seeds"] if head.get("ci95") is not None else []),
        *results.get("notes", []),
        *_domains(results.get("domains")),
        cost(results["cost"]),
        f"run   {results['id']}" + (f"  {path}" if path else ""),
    ]


def _domains(found: Results | None) -> list[str]:
    """How far apart source and target lie in the features."""
    if not found:
        return []
    before, after = found["before"], found["after"]
    told = [f"{100 * when['domain_accuracy']:.0f} %" for when in (before, after)]
    far = [f"{when['a_distance']:.2f}" for when in (before, after)]
    return [f"source and target: told apart {told[0]} before, {told[1]} after; A-distance {far[0]}, {far[1]}"]


def scored(results: Results) -> str:
    """How a run that is done ended: `done  accuracy 90.9 ±1.3 %  6m 22s`."""
    head = results.get("headline")
    if not head:
        return "done  no evaluation"
    unit = " %" if run_labels.is_share(head["name"]) else ""
    value = cell(results["metrics"][head["rule"]], head["name"], head["rule"])
    return f"done  {run_labels.label(head['name'])} {value}{unit}  {numbers.duration(results['cost']['seconds'])}"


def cost(cost: Mapping[str, Any]) -> str:
    """`cost  6m 22s (2m 41s now, 3m 41s cached)  1.2 M trained  0 target labels  0.9 GB` (peak memory)."""
    total, cached = cost.get("seconds", 0.0), cost.get("seconds_cached", 0.0)
    trained, parameters = cost.get("trained", 0), cost.get("parameters", 0)
    split = f" ({numbers.duration(total - cached)} now, {numbers.duration(cached)} cached)" if cached else ""
    return "  ".join([
        f"cost  {numbers.duration(total)}{split}",
        f"{numbers.short(trained)} trained" + (f" of {numbers.short(parameters)}" if parameters != trained else ""),
        f"{numbers.count(cost.get('labels', 0))} target labels",
        f"{numbers.size(cost.get('peak_bytes', 0))}",
    ])  # fmt: skip


def next_command(results: Results) -> str:
    """More seeds, beside a baseline where the words allow one; of what does not train, a look."""
    words = [word for word in results["words"] if not word.startswith("seed=")]
    strategy, keys = str(results["choices"].get("strategy", "fine_tune")), {word.split("=")[0] for word in words}
    if strategy == "none":
        return f"transfer show {results['id']}"
    own = [word for word in words if not word.startswith("strategy=")]
    unlabelled = not results["cost"].get("labels")
    other = "none" if unlabelled else "linear_probe" if "weights" in keys else "scratch"
    mixed = any(key in STAGES or key.split(".")[0] in STAGES for key in keys)
    if strategy in ("scratch", "linear_probe", "few_shot") or mixed or "experiment" in keys:
        return shlex.join(["transfer", "run", *words, "--seeds", "5"])
    return shlex.join(["transfer", "run", f"strategy={other},{strategy}", *own, "--seeds", "5"])
