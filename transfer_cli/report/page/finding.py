"""The top of a page: what was found as a sentence, and by what rule, over how many seeds, at what cost."""

from transfer_cli.analysis import numbers
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.statistics import mean
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.report.page.markup import Html, facts, joined, tag
from transfer_cli.report.page.material import Material
from transfer_cli.report.tables import shown


def sentence(it: Material) -> str:
    """`fine_tune beats scratch by 5.3 ±1.2 points of accuracy, 5 seeds`; no more than the tests allow."""
    found = it.found
    if not found.done:
        return "No run of these is done"
    first = found.done[0]
    verdict = found.verdicts[found.groups.index(first)]
    hurt = [it.name(g) for g, v in zip(found.groups, found.verdicts) if v.word == "NEGATIVE transfer"]
    tail = f". NEGATIVE transfer: {', '.join(hurt)}" if hurt else ""
    return _of_best(it, first, verdict) + tail


def _of_best(it: Material, first: Group, verdict: Verdict) -> str:
    name, base = it.name(first), verdict.base
    if base is first:
        return f"Nothing here is better than {name}" if len(it.found.done) > 1 else f"{name}: {_score(it, first)}"
    if base is None or verdict.test is None:
        end = "nothing was tested against it" if base is None else f"not tested against {it.name(base)}"
        lone = len(it.found.done) == 1
        return (
            f"{name}: {_score(it, first)}"
            if lone
            else f"No conclusion: {name} is first with {_score(it, first)}, {end}"
        )
    measure = it.found.measure
    points = f"points of {measure.label}" if measure.is_share else f"{measure.label}{measure.suffix}"
    by = f"{shown(verdict.test.delta, '+%' if it.scale() == 100 else '+')} {points}"
    if verdict.word == "better":
        return f"{name} is better than {it.name(base)}: {by}, {len(first.counted)} seeds"
    why = "one seed each" if it.found.single else f"{len(first.counted)} seeds do not show a difference"
    return f"No conclusion: {name} is ahead of {it.name(base)} by {by.lstrip('+')}, and {why}"


def _score(it: Material, group: Group) -> str:
    text = shown(it.found.interval(group), "%" if it.scale() == 100 else "")
    return f"{it.found.measure.label} {text}{it.found.measure.suffix}"


def top(it: Material) -> Html:
    """Title and facts: one phone screen."""
    done = [run for group in it.found.done for run in group.counted]
    told: dict[str, Html | str | None] = {"runs": f"{len(it.runs)}, {len(done)} counted"}
    if done:
        seeds = sorted({len(group.counted) for group in it.found.done})
        once = {stage.key: stage.seconds for run in done for stage in run.stages if stage.key}
        labels = sorted({round(run.cost.get("labels", 0)) for run in done})
        told |= {
            "selection rule": ", ".join(it.found.rules),
            "results a group": " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
            "target labels": " to ".join(numbers.count(n) for n in dict.fromkeys((labels[0], labels[-1]))),
            "best score": _score(it, it.found.done[0]),
            "its cost a run": numbers.duration(mean(it.found.done[0].cost("seconds"))),
            "all stages, each once": numbers.duration(sum(once.values())),
            "started": " to ".join(dict.fromkeys(run.started[:10] for run in (done[0], done[-1]))),
        }
    return joined([tag("p", it.table.title, class_="kicker"), tag("h1", sentence(it)), facts(told)])
