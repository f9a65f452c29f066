"""MODEL_CARD.md: what a reader must know about the net of a run. It is written from the results of the run only; a fact
that they do not contain is `not recorded`, never guessed."""

import shlex
from collections.abc import Sequence

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Headline, Run
from transfer_cli.report.labels import cell, of_a_class, value_text
from transfer_cli.report.renderers import markdown
from transfer_cli.report.run_screen import rules_of
from transfer_cli.report.tables import shown
from transfer_cli.report.text import clean
from transfer_cli.report.view_tables import view_tables

UNKNOWN = "not recorded"


def model_card(run: Run) -> str:
    """The card in Markdown. Text from users (class names, paths) is escaped."""
    parts = [_head(run), _scores(run), _per_class(run), _views(run), _stages(run), _cost(run), _data(run), _again(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: Run) -> str:
    lines = [
        f"# {markdown(run.choices.get('strategy', UNKNOWN))}, {markdown(run_labels.path_of_data(run))}",
        _finding(run, run.headline) if run.headline else "No result: this run was not evaluated.",
    ]
    return "\n\n".join(lines)


def _finding(run: Run, head: Headline) -> str:
    return (
        f"**{head.metric.measure.heading}: {cell(head.metric, head.rule)}** on {markdown(run_labels.data(run))}, "
        f"rule {head.rule}, "
        f"± 95 % over {numbers.count(head.metric.n)} {markdown(head.over)}. One seed: other seeds differ."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table. The first `words` columns are text and aligned left; the others are numbers."""
    lines = [heads, [":--" if at < words else "--:" for at in range(len(heads))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _scores(run: Run) -> str:
    rules = rules_of(run)
    named = sorted({name for rule in rules for name in run.names(rule) if "/" not in name})
    if not named:
        return ""
    body = [[run.measure(name).heading, *(cell(run.metric(name, rule), rule) for rule in rules)] for name in named]
    note = "In brackets: chosen on test rows, so not a result.\n\n" if "oracle" in rules else ""
    return f"## Test scores by selection rule\n\n{note}{_table(['metric', *rules], body)}"


def _per_class(run: Run) -> str:
    """A table with one row for each class and one column for each metric that has values of single classes."""
    scores = {name: metric for name, metric in run.scores().items() if not metric.overall}
    families = list(dict.fromkeys(name.partition("/")[0] for name in scores))
    classes = list(dict.fromkeys(name.partition("/")[2] for name in scores))
    if not classes:
        return ""
    heads = [f"{of_a_class(run.measure(family))}{run.measure(family).suffix}" for family in families]
    metrics = {name: [scores.get(f"{family}/{name}") for family in families] for name in classes}
    texts = {
        name: ["" if metric is None else value_text(metric.interval, metric.measure) for metric in row]
        for name, row in metrics.items()
    }
    return "## Per class\n\n" + _table(["class", *heads], [[markdown(name), *row] for name, row in texts.items()])


def _views(run: Run) -> str:
    """The metrics on each view of the test rows, and at each mark."""
    parts = []
    for table in view_tables(run):
        rows = [[markdown(shown(row.get(column.name), column.unit)) for column in table.columns] for row in table.rows]
        parts.append(f"## {markdown(table.title)}\n\n{_table([column.title for column in table.columns], rows)}")
    return "\n\n".join(parts)


def _stages(run: Run) -> str:
    body = [
        [stage.name, markdown(stage.what or stage.method), stage.key[:12], numbers.duration(stage.seconds)]
        for stage in run.stages
        if stage.key
    ]
    return "## How it was made\n\n" + _table(["stage", "what", "key", "time"], body, words=3) if body else ""


def _count(value: float) -> str:
    return numbers.count(round(value))


def _cost(run: Run) -> str:
    facts = {
        "parameters": ("parameters", _count),
        "trained": ("of them trained", _count),
        "bytes": ("size of the net", numbers.size),
        "labels": ("labels of the target used", _count),
        "seconds": ("time of all stages, cached ones too", numbers.duration),
        "peak_bytes": ("peak memory", numbers.size),
        "rows_per_s": ("test pictures a second", numbers.plain),
    }
    texts = {label: show(run.cost[key]) if key in run.cost else UNKNOWN for key, (label, show) in facts.items()}
    return "## Size and cost\n\n" + "\n".join(f"- {label}: {text}" for label, text in texts.items())


def _data(run: Run) -> str:
    rows = [
        f"- {side}: {markdown(run.choices.get(word, UNKNOWN))}, sha256 {str(run.fingerprints.get(side, UNKNOWN))[:16]}"
        for side, word in (("target", "data"), ("source", "source"))
        if run.choices.get(word) != "none"
    ]
    notes = [f"- {markdown(note)}" for note in run.notes]
    return "\n".join(["## Data", "", *rows, *notes, f"- licence and consent: {UNKNOWN}"])


def _again(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    command = shlex.join(["transfer", "run", *run.words])
    return (
        f"## To repeat it\n\n    {clean(command)}\n\n"
        f"- run {run.id}, started {run.started or UNKNOWN}\n"
        f"- versions: {versions or UNKNOWN}\n- intended use, limits: {UNKNOWN}"
    )
