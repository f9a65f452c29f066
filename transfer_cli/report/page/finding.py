"""The top of a page: the main result as a sentence, and the facts on it (selection rule, seeds, cost)."""

from transfer_cli.analysis import numbers
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.statistics import mean
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.report.page.markup import Html, facts, joined, tag
from transfer_cli.report.page.material import Material
from transfer_cli.report.tables import shown


def sentence(material: Material) -> str:
    """The main result: `fine_tune is better than scratch: +5.3 ±1.2 points of accuracy, 5 seeds`. It states no more
    than the tests show."""
    comparison = material.comparison
    if not comparison.done:
        return "No run of these is done"
    first = comparison.done[0]
    verdict = comparison.verdicts[comparison.groups.index(first)]
    hurt = [material.name(g) for g, v in zip(comparison.groups, comparison.verdicts) if v.word == "NEGATIVE transfer"]
    tail = f". NEGATIVE transfer: {', '.join(hurt)}" if hurt else ""
    return _of_best(material, first, verdict) + tail


def _of_best(material: Material, first: Group, verdict: Verdict) -> str:
    name, base = material.name(first), verdict.base
    if base is first:
        return (
            f"Nothing here is better than {name}"
            if len(material.comparison.done) > 1
            else f"{name}: {_score(material, first)}"
        )
    if base is None or verdict.test is None:
        end = "nothing was tested against it" if base is None else f"not tested against {material.name(base)}"
        lone = len(material.comparison.done) == 1
        return (
            f"{name}: {_score(material, first)}"
            if lone
            else f"No conclusion: {name} is first with {_score(material, first)}, {end}"
        )
    measure = material.comparison.measure
    points = f"points of {measure.label}" if measure.is_share else f"{measure.label}{measure.suffix}"
    by = f"{shown(verdict.test.delta, '+%' if material.scale() == 100 else '+')} {points}"
    if verdict.word == "better":
        return f"{name} is better than {material.name(base)}: {by}, {len(first.counted)} seeds"
    why = "one seed each" if material.comparison.single else f"{len(first.counted)} seeds do not show a difference"
    return f"No conclusion: {name} is ahead of {material.name(base)} by {by.lstrip('+')}, and {why}"


def _score(material: Material, group: Group) -> str:
    text = shown(material.comparison.interval(group), "%" if material.scale() == 100 else "")
    return f"{material.comparison.measure.label} {text}{material.comparison.measure.suffix}"


def top(material: Material) -> Html:
    """Title and facts, which fit the screen of a phone."""
    done = [run for group in material.comparison.done for run in group.counted]
    pairs: dict[str, Html | str | None] = {"runs": f"{len(material.runs)}, {len(done)} counted"}
    if done:
        seeds = sorted({len(group.counted) for group in material.comparison.done})
        once = {stage.key: stage.seconds for run in done for stage in run.stages if stage.key}
        labels = sorted({round(run.cost.get("labels", 0)) for run in done})
        pairs |= {
            "selection rule": ", ".join(material.comparison.rules),
            "results a group": " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
            "target labels": " to ".join(numbers.count(n) for n in dict.fromkeys((labels[0], labels[-1]))),
            "best score": _score(material, material.comparison.done[0]),
            "its cost a run": numbers.duration(mean(material.comparison.done[0].cost("seconds"))),
            "all stages, each once": numbers.duration(sum(once.values())),
            "started": " to ".join(dict.fromkeys(run.started[:10] for run in (done[0], done[-1]))),
        }
    return joined([tag("p", material.table.title, class_="kicker"), tag("h1", sentence(material)), facts(pairs)])
