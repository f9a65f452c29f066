"""A comparison of runs as a table: groups of equal settings, the words in which they differ, mean and interval over
seeds, the verdict against the baseline, and the cost. It reads summaries of runs; scores of single test rows are read
only where each group has one result."""

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
    """The table of all `runs`, best group first. `history` returns further runs; it is called only if every group has
    one seed. Raises as `study`."""
    return table(study(runs, ask), history)


def table(comparison: Comparison, history: History = list) -> Table:
    """A comparison as a table with its notes."""
    marks = pareto(comparison)
    return Table(
        _columns(comparison),
        [
            *(
                _row(comparison, group, verdict, mark)
                for group, verdict, mark in zip(comparison.groups, comparison.verdicts, marks)
            ),
            *(_unreadable(comparison, run) for run in comparison.unreadable),
        ],
        title=_title(comparison),
        notes=remarks(comparison, marks, history),
        next=_next(comparison),
        schema="compare/1",
        hints=hints(comparison),
    )


def _columns(comparison: Comparison) -> list[Column]:
    judged = any(verdict.base is not None for verdict in comparison.verdicts)
    share = comparison.measure.is_share
    pair = comparison.single and len(comparison.done) == 2  # a note states the difference in a sentence
    tests: Only = None if judged and not pair else "machine"
    in_base_units: tuple[tuple[str, Unit], ...] = (("trained", "short"), ("peak", "B"), ("stored", "B"))
    labels = {tuple(group.cost("labels")[:1]) for group in comparison.done}
    return [
        *([Column("run")] if comparison.single else []),
        *(Column(word, head=_short(word, comparison.words)) for word in comparison.words),
        *([Column("rule")] if len(comparison.rules) > 1 and "rule" not in comparison.words else []),
        *([] if comparison.single else [Column("of", head="n", align="right", only="screen")]),
        Column("n", "n", only="machine"),
        Column("n_failed", "n", only="machine"),
        Column("mean", "%" if share else "", comparison.measure.heading, "right", True, ("lo", "hi")),
        Column("sd", only="machine"),
        Column("delta", "+%" if share else "+", None, "right", True, only=tests),
        Column("p", "p", only="machine"),
        Column("p_holm", "p", "p Holm", only=tests),
        Column("verdict", only=tests if not comparison.single else "machine", state=True),
        *([Column("state", state=True)] if comparison.unreadable else []),
        Column("labels", "n", only=None if len(labels) > 1 else "machine"),
        Column("cost", "s"),
        Column("mark", head="", only="screen"),
        Column("pareto", only="machine"),
        *(Column(name, unit, only="machine") for name, unit in in_base_units),
        *(Column(name, only="machine") for name in ("test", "against", "effect", "p_flip")),
        *(_other(name, measure) for name, measure in sorted(_others(comparison).items())),
        *(Column(name, only="json") for name in ("classes", "seeds", "failed")),
    ]  # fmt: skip


def _short(word: str, words: Sequence[str]) -> str:
    """The last part of a dotted word, `shots` for `data.shots`, unless another word ends in the same way."""
    last = word.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in words) == 1 else word


def _others(comparison: Comparison) -> dict[str, Measure]:
    """Further metrics over all classes, without the compared one, with their measures."""
    runs = [run for group in comparison.groups for run in group.counted]
    named = {name: run for run in runs for name in run.names(comparison.ask.rule)}
    return {name: run.measure(name) for name, run in named.items() if "/" not in name and name != comparison.metric}


def _other(name: str, measure: Measure) -> Column:
    unit: Unit = "%" if measure.is_share else ""
    return Column(name, unit, measure.heading, "right", True, only="machine")


def _unreadable(comparison: Comparison, run: Run) -> dict[str, Any]:
    """The row of a run whose results cannot be read."""
    first = "run" if comparison.single else comparison.words[0]
    return {first: run.id, "state": f"{run.status}: {run.fault}" if run.fault else run.status}


def _row(comparison: Comparison, group: Group, verdict: Verdict, mark: bool) -> dict[str, Any]:
    values, done, failed = group.values(comparison.metric), len(group.counted), len(group.failed)
    others = {name for run in group.counted for name in run.names(comparison.ask.rule) if "/" not in name}
    return {
        **{word: group.facts.get(word, "") for word in comparison.words},
        "rule": group.rule,
        "run": (group.counted[0] if group.counted else group.run).id,
        "of": f"{done}/{done + failed}" if failed else str(done),
        "n": done,
        "n_failed": failed,
        "mean": comparison.interval(group),
        "sd": sd(values),
        **_tested(verdict, group, comparison.words),
        "cost": mean(group.cost("seconds")),
        "mark": "P" if mark else "",
        "pareto": mark,
        "labels": _whole(group.cost("labels")),
        "trained": _whole(group.cost("trained")),
        "peak": _whole(group.cost("peak_bytes")),
        "stored": _whole(group.cost("bytes")),
        **{name: comparison.spread(group.values(name)) for name in others - {comparison.metric}},
        "seeds": [_seed(group, run, comparison.metric) for run in group.by_unit.values()],
        "failed": [{"seed": run.seed, "run": run.id, "code": run.code} for run in group.failed],
    }


def _tested(verdict: Verdict, group: Group, words: Sequence[str]) -> dict[str, Any]:
    test, base = verdict.test, verdict.base
    facts: dict[str, Any] = {"verdict": verdict.word, "p_holm": verdict.p_holm}
    facts["against"] = base.label(words) if base is not None and base is not group else None
    facts["classes"] = [
        {"class": c.name, "delta": c.delta.value, "lo": c.delta.lo, "hi": c.delta.hi, "p_holm": c.p}
        for c in verdict.classes
    ]
    if test is None:
        return facts
    how = f"{test.how} over {verdict.over}"
    return facts | {"delta": test.delta, "p": test.p, "test": how, "effect": test.effect, "p_flip": test.p_flip}


def _whole(values: Sequence[float]) -> int | None:
    return round(mean(values)) if values else None


def _seed(group: Group, run: Run, metric: str) -> dict[str, Any]:
    seed = {"seed": run.seed, "run": run.id, "value": group.score(run, metric)}
    return seed | {"cost_s": run.cost.get("seconds")}


def _title(comparison: Comparison) -> str:
    done = [run for group in comparison.groups for run in group.counted]
    if not done:
        return "no run of these is done"
    over = sorted({run.headline.over for run in done if run.headline is not None})
    rules = comparison.rules
    count = "one result each" if all(group.fixed for group in comparison.done) else "one seed each"
    spread = "runs" if comparison.ask.by else "seeds"
    if comparison.ask.interval == "bootstrap":
        spread += " by bootstrap" + ", too narrow below ten" * any(
            len(group.counted) < 10 for group in comparison.groups
        )
    return ", ".join([
        *run_labels.shared(done, comparison.words),
        f"test {comparison.measure.heading}",
        f"rule{'s' * (len(rules) > 1)} {' and '.join(rules)}{', picked on test: no result' * (rules == ['oracle'])}",
        f"{count}, ± 95 % over {' and '.join(over)}" if comparison.single else f"± 95 % over {spread}",
    ])  # fmt: skip


def _next(comparison: Comparison) -> str:
    """The suggested next command: more seeds if each group has one, else the details of the best run."""
    done = comparison.done
    if not done:
        return ""
    if comparison.single and not all(group.fixed for group in done):
        return f"{run_labels.command([group.run for group in done], comparison.words)} --seeds {SEEDS}"
    return f"transfer show {done[0].counted[0].id}"
