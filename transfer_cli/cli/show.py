"""transfer show: of words the settings and the plan (each stage cached or to do), of a RUN what it did, of two
what differs."""

from collections.abc import Sequence
from typing import Any

from transfer_cli.analysis.results import read
from transfer_cli.cli.options import Options
from transfer_cli.config.compose import load_all
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan.outcome import notes, target_labels, timing
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report import run_screen
from transfer_cli.report.difference import difference
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import find
from transfer_cli.store.store import Store


def main(options: Options) -> int:
    """Shows one run by reference, or the plan of words."""
    screen = Screen.of(options)
    if options.args:
        return show_run(options, screen)
    from transfer_cli.cli.run import plan_all

    configs = load_all(options.words, multirun=options.multirun, seeds=options.seeds, config_dirs=options.config_dirs)
    return show_plans(plan_all(configs, options), options, screen)


def show_run(options: Options, screen: Screen) -> int:
    """Header, stages and results of one run; of two, what differs. Raises ConfigError if more are meant."""
    if options.words:
        raise ConfigError(Fault("show", "takes a RUN or words, not both"))
    found = [folder for ref in options.args for folder in find(options.runs, ref)]
    if len(found) == 2:
        screen.show(difference(*map(read, found), everything=options.verbose))
        return 0
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found[:5])
        raise ConfigError(Fault(" ".join(options.args), f"means {len(found)} runs: {names}", do="name one or two"))
    run = read(found[0])
    if screen.json:
        screen.answer(run.document)
        return 0
    screen.note(run_screen.header(run))
    screen.note(f"note  {run.note}" if run.note else "")
    run_screen.plan(
        run_screen.stage_rows(run), [f"{run.status}  {found[0]}", *([run.fault] if run.fault else [])], screen
    )
    if run.is_done and screen.format == "table":
        run_screen.results(run, screen, found[0])
    if options.verbose:
        screen.note((found[0] / "config.yaml").read_text())
    return 0


def show_plans(plans: Sequence[Plan], options: Options, screen: Screen) -> int:
    """What running these plans would do. Of a sweep: a line a stage, shared ones once."""
    store = Store(options.runs / ".store", create=False)
    rows: dict[str, dict[str, Any]] = {}
    for number, made in enumerate(plans):
        for stage in made.stages:
            rows.setdefault(stage.key or f"{number} {stage.name}", _row(stage, store))
    todo = sum(row["state"] not in ("cached", "none") for row in rows.values())
    told = [f"{todo} of {sum(row['state'] != 'none' for row in rows.values())} stages to do"]
    if len(plans) == 1:
        told += [*_facts(plans[0]), *notes(plans[0]), *_changed(plans[0])]
        listed = list(rows.values())
    else:
        told = [f"{len(plans)} runs, {told[0]}, stages they share counted once"]
        listed = [row for row in rows.values() if row["state"] != "none"]
    run_screen.plan(listed, told, screen, title=_title(plans))
    if options.verbose:
        from transfer_cli.cli.run import show_settings

        show_settings([made.config for made in plans], screen)
    return 0


def _title(plans: Sequence[Plan]) -> str:
    made = plans[0]
    source = made.source.title if made.source else "no source"
    return f"{made.config.choices['strategy']}: {source} to {made.target.title}" if len(plans) == 1 else ""


def _row(stage: Stage, store: Store) -> dict[str, Any]:
    row: dict[str, Any] = {"stage": stage.name, "what": stage.what, "key": stage.key}
    if not stage.key:
        return row | {"state": "none", "what": "", "size": None, "seconds": None}
    state = store.state(stage.key)
    if state == "done":
        size = sum(store.files(stage.key).values())
        return row | {"state": "cached", "size": size, "seconds": timing(store, stage.key)["seconds"]}
    shown = {"running": "running", "failed": "failed"}.get(state, "to do")
    return row | {"state": shown, "size": None, "seconds": None}


def _facts(made: Plan) -> list[str]:
    tuned = [stage for stage in made.work if stage.kind == "train" and stage.name != "pretrain"]
    unlabelled = any(not view["labelled"] for stage in tuned for view in stage.spec["streams"].values())
    rows = f", {len(made.target.rows('train', labelled=False).index):,} rows without" if unlabelled else ""
    return [f"target: {target_labels(made):,} labels{rows}; test is read by evaluate only"]


def _changed(made: Plan) -> list[str]:
    told = [f"{key} ({before}: {now})" for key, (before, now) in sorted(made.config.changed.items())]
    return [f"changed by you: {', '.join(told)}"] if told else []
