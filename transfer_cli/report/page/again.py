"""How to repeat it: the commands, and where the runs were made."""

from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.run_files import Environment, environment_of
from transfer_cli.report.page.markup import Html, boxed, joined, tag
from transfer_cli.report.page.material import Material, Missing
from transfer_cli.report.tables import Column, Table


def again(it: Material) -> Html:
    """Commands to paste: all groups in one where that is a sweep, else one a group; then this page."""
    if not it.found.groups:
        raise Missing("no settings can be read")
    return joined([tag("pre", "\n".join([*commands(it), it.command]))])


def commands(it: Material) -> list[str]:
    """As above, without the page's own."""
    groups = it.found.groups
    seeds = [_seeds(group) for group in groups]
    one = run_labels.command([group.run for group in groups], it.found.words)
    if len(groups) == 1 or (len(it.found.words) == 1 and len(set(seeds)) == 1 and _covers(one, it, groups)):
        return [_with(one, seeds[0], sweep=len(groups) > 1)]
    return [_with(run_labels.command([group.run], []), few, sweep=False) for group, few in zip(groups, seeds)]


def _covers(command: str, it: Material, groups: list[Group]) -> bool:
    word = it.found.words[0]
    return all(group.facts.get(word, "") in command for group in groups)


def _seeds(group: Group) -> tuple[int, ...]:
    runs = [*group.by_unit.values(), *group.failed, *group.left_out]
    return tuple(sorted({run.seed for run in runs}))


def _with(command: str, seeds: tuple[int, ...], *, sweep: bool) -> str:
    if len(seeds) > 1 and seeds == tuple(range(len(seeds))):
        return f"{command} --seeds {len(seeds)}"
    told = f"{command} seed={','.join(map(str, seeds))}" if seeds != (0,) else command
    return f"{told} -m" if sweep or len(seeds) > 1 else told


def environment(it: Material) -> Html:
    """Versions, machine and commit; values that differ between runs stand side by side."""
    found: dict[str, dict[str, None]] = {}
    for run in it.runs:
        for name, value in _where(run).items():
            found.setdefault(name, {})[str(value)] = None
    if not found:
        raise Missing("these runs recorded none")
    rows = [{"what": name, "value": " | ".join(values)} for name, values in found.items()]
    return boxed(Table([Column("what"), Column("value")], rows))


def _where(run: Run) -> dict[str, Any]:
    env = environment_of(run) or Environment()
    told = {"commit": env.commit, "platform": env.platform}
    same = {key: value for key, value in run.identity.items() if value != {}}
    return {k: v for k, v in {**told, **same, **run.versions, **env.variables}.items() if v is not None}
