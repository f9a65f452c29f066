"""The section on repeating the runs: their commands and their environment."""

from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.run_files import Environment, environment_of
from transfer_cli.report.page.markup import Html, boxed, joined, tag
from transfer_cli.report.page.material import Material, Missing
from transfer_cli.report.tables import Column, Table


def again(material: Material) -> Html:
    """The commands of the runs, then the command of this page. Raises Missing if no run can be read."""
    if not material.comparison.groups:
        raise Missing("no settings can be read")
    return joined([tag("pre", "\n".join([*commands(material), material.command]))])


def commands(material: Material) -> list[str]:
    """The commands that compute the runs again: one sweep if the groups differ in one word, else one command for each
    group."""
    groups = material.comparison.groups
    seeds = [_seeds(group) for group in groups]
    one = run_labels.command([group.run for group in groups], material.comparison.words)
    if len(groups) == 1 or (
        len(material.comparison.words) == 1 and len(set(seeds)) == 1 and _covers(one, material, groups)
    ):
        return [_with(one, seeds[0], sweep=len(groups) > 1)]
    return [_with(run_labels.command([group.run], []), few, sweep=False) for group, few in zip(groups, seeds)]


def _covers(command: str, material: Material, groups: list[Group]) -> bool:
    word = material.comparison.words[0]
    return all(group.facts.get(word, "") in command for group in groups)


def _seeds(group: Group) -> tuple[int, ...]:
    runs = [*group.by_unit.values(), *group.failed, *group.left_out]
    return tuple(sorted({run.seed for run in runs}))


def _with(command: str, seeds: tuple[int, ...], *, sweep: bool) -> str:
    if len(seeds) > 1 and seeds == tuple(range(len(seeds))):
        return f"{command} --seeds {len(seeds)}"
    with_seeds = f"{command} seed={','.join(map(str, seeds))}" if seeds != (0,) else command
    return f"{with_seeds} -m" if sweep or len(seeds) > 1 else with_seeds


def environment(material: Material) -> Html:
    """Versions, machine and commit. If runs differ, all values are shown, separated by `|`. Raises Missing if no run
    recorded them."""
    values_of: dict[str, dict[str, None]] = {}
    for run in material.runs:
        for name, value in _where(run).items():
            values_of.setdefault(name, {})[str(value)] = None
    if not values_of:
        raise Missing("these runs recorded none")
    rows = [{"what": name, "value": " | ".join(values)} for name, values in values_of.items()]
    return boxed(Table([Column("what"), Column("value")], rows))


def _where(run: Run) -> dict[str, Any]:
    env = environment_of(run) or Environment()
    program = {"commit": env.commit, "platform": env.platform}
    same = {key: value for key, value in run.identity.items() if value != {}}
    return {k: v for k, v in {**program, **same, **run.versions, **env.variables}.items() if v is not None}
