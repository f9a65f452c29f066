"""Runs side by side as a table: groups of equal settings, the words in which they differ, mean and interval over seeds,
what may be said against the baseline, and what it cost. Reads summaries of runs; rows of test only where nothing else
can be compared."""

from collections.abc import Sequence
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.comparison import Ask, Comparison, pareto, study
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.single import SEEDS, History
from transfer_cli.analysis.statistics import mean, sd
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.measures import Measure
from transfer_cli.report.remarks import hints, remarks
from transfer_cli.report.tables import Column, Only, Table, Unit


def compare(runs: Sequence[Run], ask: Ask | None = None, history: History = list) -> Table:
    """The table of all `runs`, best group first. `history`: further runs, asked for where all have one seed. Raises
    as `study`."""
    return table(study(runs, ask), history)


def table(found: Comparison, history: History = list) -> Table:
    """A comparison as a table with its notes."""
    marks = pareto(found)
    return Table(
        _columns(found),
        [
            *(_row(found, group, verdict, mark) for group, verdict, mark in zip(found.groups, found.verdicts, marks)),
            *(_unreadable(found, run) for run in found.unreadable),
        ],
        title=_title(found),
        notes=remarks(found, marks, history),
        next=_next(found),
        schema="compare/1",
        hints=hints(found),
    )


def _columns(found: Comparison) -> list[Column]:
    judged = any(verdict.base is not None for verdict in found.verdicts)
    share = found.measure.is_share
    pair = found.single and len(found.done) == 2  # told in a sentence
    tests: Only = None if judged and not pair else "machine"
    in_base_units: tuple[tuple[str, Unit], ...] = (("trained", "short"), ("peak", "B"), ("stored", "B"))
    labels = {tuple(group.cost("labels")[:1]) for group in found.done}
    return [
        *([Column("run")] if found.single else []),
        *(Column(word, head=_short(word, found.words)) for word in found.words),
        *([Column("rule")] if len(found.rules) > 1 and "rule" not in found.words else []),
        *([] if found.single else [Column("of", head="n", align="right", only="screen")]),
        Column("n", "n", only="machine"),
        Column("n_failed", "n", only="machine"),
        Column("mean", "%" if share else "", found.measure.heading, "right", True, ("lo", "hi")),
        Column("sd", only="machine"),
        Column("delta", "+%" if share else "+", None, "right", True, only=tests),
        Column("p", "p", only="machine"),
        Column("p_holm", "p", "p Holm", only=tests),
        Column("verdict", only=tests if not found.single else "machine", state=True),
        *([Column("state", state=True)] if found.unreadable else []),
        Column("labels", "n", only=None if len(labels) > 1 else "machine"),
        Column("cost", "s"),
        Column("mark", head="", only="screen"),
        Column("pareto", only="machine"),
        *(Column(name, unit, only="machine") for name, unit in in_base_units),
        *(Column(name, only="machine") for name in ("test", "against", "effect", "p_flip")),
        *(_other(name, measure) for name, measure in sorted(_others(found).items())),
        *(Column(name, only="json") for name in ("classes", "seeds", "failed")),
    ]  # fmt: skip


def _short(word: str, words: Sequence[str]) -> str:
    """`data.shots` as `shots` where no other word ends so."""
    last = word.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in words) == 1 else word


def _others(found: Comparison) -> dict[str, Measure]:
    """Metrics of all classes together beside the one compared."""
    runs = [run for group in found.groups for run in group.counted]
    named = {name: run for run in runs for name in run.names(found.ask.rule)}
    return {name: run.measure(name) for name, run in named.items() if "/" not in name and name != found.metric}


def _other(name: str, measure: Measure) -> Column:
    unit: Unit = "%" if measure.is_share else ""
    return Column(name, unit, measure.heading, "right", True, only="machine")


def _unreadable(found: Comparison, run: Run) -> dict[str, Any]:
    """The row of a run whose results cannot be read."""
    first = "run" if found.single else found.words[0]
    return {first: run.id, "state": f"{run.status}: {run.fault}" if run.fault else run.status}


def _row(found: Comparison, group: Group, verdict: Verdict, mark: bool) -> dict[str, Any]:
    values, done, failed = group.values(found.metric), len(group.counted), len(group.failed)
    others = {name for run in group.counted for name in run.names(found.ask.rule) if "/" not in name}
    return {
        **{word: group.facts.get(word, "") for word in found.words},
        "rule": group.rule,
        "run": (group.counted[0] if group.counted else group.run).id,
        "of": f"{done}/{done + failed}" if failed else str(done),
        "n": done,
        "n_failed": failed,
        "mean": found.interval(group),
        "sd": sd(values),
        **_tested(verdict, group, found.words),
        "cost": mean(group.cost("seconds")),
        "mark": "P" if mark else "",
        "pareto": mark,
        "labels": _whole(group.cost("labels")),
        "trained": _whole(group.cost("trained")),
        "peak": _whole(group.cost("peak_bytes")),
        "stored": _whole(group.cost("bytes")),
        **{name: found.spread(group.values(name)) for name in others - {found.metric}},
        "seeds": [_seed(group, run, found.metric) for run in group.by_unit.values()],
        "failed": [{"seed": run.seed, "run": run.id, "code": run.code} for run in group.failed],
    }


def _tested(verdict: Verdict, group: Group, words: Sequence[str]) -> dict[str, Any]:
    test, base = verdict.test, verdict.base
    told: dict[str, Any] = {"verdict": verdict.word, "p_holm": verdict.p_holm}
    told["against"] = base.label(words) if base is not None and base is not group else None
    told["classes"] = [
        {"class": c.name, "delta": c.delta.value, "lo": c.delta.lo, "hi": c.delta.hi, "p_holm": c.p}
        for c in verdict.classes
    ]
    if test is None:
        return told
    how = f"{test.how} over {verdict.over}"
    return told | {"delta": test.delta, "p": test.p, "test": how, "effect": test.effect, "p_flip": test.p_flip}


def _whole(values: Sequence[float]) -> int | None:
    return round(mean(values)) if values else None


def _seed(group: Group, run: Run, metric: str) -> dict[str, Any]:
    seed = {"seed": run.seed, "run": run.id, "value": group.score(run, metric)}
    return seed | {"cost_s": run.cost.get("seconds")}


def _title(found: Comparison) -> str:
    done = [run for group in found.groups for run in group.counted]
    if not done:
        return "no run of these is done"
    over = sorted({run.headline.over for run in done if run.headline is not None})
    rules = found.rules
    count = "one result each" if all(group.fixed for group in found.done) else "one seed each"
    spread = "runs" if found.ask.by else "seeds"
    if found.ask.interval == "bootstrap":
        spread += " by bootstrap" + ", too narrow below ten" * any(len(group.counted) < 10 for group in found.groups)
    return ", ".join([
        *run_labels.shared(done, found.words),
        f"test {found.measure.heading}",
        f"rule{'s' * (len(rules) > 1)} {' and '.join(rules)}{', picked on test: no result' * (rules == ['oracle'])}",
        f"{count}, ± 95 % over {' and '.join(over)}" if found.single else f"± 95 % over {spread}",
    ])  # fmt: skip


def _next(found: Comparison) -> str:
    """More seeds where there is one, else a look at the best run."""
    done = found.done
    if not done:
        return ""
    if found.single and not all(group.fixed for group in done):
        return f"{run_labels.command([group.run for group in done], found.words)} --seeds {SEEDS}"
    return f"transfer show {done[0].counted[0].id}"
