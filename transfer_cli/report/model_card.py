"""MODEL_CARD.md: what a reader must know of the net a run made. From results.json alone; what that does not hold is
`not recorded`, never guessed."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.report.renderers import markdown
from transfer_cli.report.run_screen import by_rule, cell
from transfer_cli.report.text import clean

Results = Mapping[str, Any]
UNKNOWN = "not recorded"


def model_card(results: Results) -> str:
    """The card, Markdown. Text of users (class names, paths) is shown as text."""
    parts = [_head(results), _scores(results), _per_class(results), _stages(results), _cost(results), _data(results)]
    return "\n\n".join(part for part in (*parts, _again(results)) if part) + "\n"


def _head(results: Results) -> str:
    choices, head = results["choices"], results.get("headline")
    lines = [
        f"# {markdown(str(choices.get('strategy', UNKNOWN)))}, {markdown(run_labels.path_of_data(results))}",
        _finding(results, head) if head else "No result: this run was not evaluated.",
    ]
    return "\n\n".join(lines)


def _finding(results: Results, head: Results) -> str:
    text = cell(results["metrics"][head["rule"]], head["name"], head["rule"])
    unit = " %" if run_labels.is_share(head["name"]) else ""
    return (
        f"**{run_labels.label(head['name'])}{unit}: {text}** on {markdown(run_labels.data(results))}, "
        f"rule {head['rule']}, "
        f"± 95 % over {numbers.count(head['n'])} {markdown(str(head['over']))}. One seed: other seeds differ."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """The first `words` columns hold words, the others numbers."""
    lines = [heads, [":--" if at < words else "--:" for at in range(len(heads))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _scores(results: Results) -> str:
    rules = by_rule(results)
    shown = sorted({name for found in rules.values() for name in found if run_labels.overall(name)})
    if not shown:
        return ""
    body = [[run_labels.heading(name), *(cell(found, name, rule) for rule, found in rules.items())] for name in shown]
    note = "In brackets: chosen by looking at the test pictures, no result.\n\n" if "oracle" in rules else ""
    return f"## Test scores by selection rule\n\n{note}{_table(['metric', *rules], body)}"


def _per_class(results: Results) -> str:
    head = results.get("headline")
    found = results["metrics"].get(head["rule"], {}) if head else {}
    classes = [name.removeprefix("test/f1/") for name in found if name.startswith("test/f1/")]
    if not classes:
        return ""
    kinds = ("precision", "recall", "f1")
    body = [[markdown(c), *(numbers.percent(found[f"test/{kind}/{c}"]) for kind in kinds)] for c in classes]
    return "## Per class\n\n" + _table(["class", "precision %", "recall %", "F1 %"], body)


def _stages(results: Results) -> str:
    body = [
        [
            stage["name"],
            markdown(str(stage.get("what") or stage["method"])),
            stage["key"][:12],
            numbers.duration(stage["seconds"]),
        ]
        for stage in results["stages"]
        if stage["key"]
    ]
    return "## How it was made\n\n" + _table(["stage", "what", "key", "time"], body, words=3) if body else ""


def _cost(results: Results) -> str:
    cost = results.get("cost") or {}
    facts = {
        "parameters": ("parameters", numbers.count),
        "trained": ("of them trained", numbers.count),
        "bytes": ("size of the net", numbers.size),
        "labels": ("labels of the target used", numbers.count),
        "seconds": ("time of all stages, cached ones too", numbers.duration),
        "peak_bytes": ("peak memory", numbers.size),
        "rows_per_s": ("test pictures a second", numbers.plain),
    }
    known = {label: show(cost[key]) if cost.get(key) is not None else UNKNOWN for key, (label, show) in facts.items()}
    return "## Size and cost\n\n" + "\n".join(f"- {label}: {text}" for label, text in known.items())


def _data(results: Results) -> str:
    choices, prints = results["choices"], results.get("fingerprints") or {}
    rows = [
        f"- {side}: {markdown(str(choices.get(word, UNKNOWN)))}, sha256 {str(prints.get(side, UNKNOWN))[:16]}"
        for side, word in (("target", "data"), ("source", "source"))
        if choices.get(word) != "none"
    ]
    notes = [f"- {markdown(note)}" for note in results.get("notes", [])]
    return "\n".join(["## Data", "", *rows, *notes, f"- licence and consent: {UNKNOWN}"])


def _again(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in (results.get("versions") or {}).items())
    command = shlex.join(["transfer", "run", *results["words"]])
    return (
        f"## To repeat it\n\n    {clean(command)}\n\n"
        f"- run {results['id']}, started {results.get('started') or UNKNOWN}\n"
        f"- versions: {versions or UNKNOWN}\n- intended use, limits: {UNKNOWN}"
    )
