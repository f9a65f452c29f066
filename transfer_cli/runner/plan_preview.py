"""Previews of plans: their settings, and their stages as cached or to do. Computes nothing and imports no torch."""

from collections.abc import Sequence
from typing import Any

from transfer_cli.config.compose import Config
from transfer_cli.plan.outcome import notes, target_labels, timing
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report import run_screen
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import fetch_missing, plan_all
from transfer_cli.store.store import Store


def plans_to_run(configs: Sequence[Config], options: Options, screen: Screen) -> list[Plan]:
    """The plan of every run, after missing data were fetched. With --cfg or -n it shows a preview and returns an empty
    list. Raises as `plan_all`."""
    if options.cfg:
        show_settings(configs, screen)
        return []
    fetch_missing(configs, options, screen)
    plans = plan_all(configs, options)
    if options.dry_run:
        show_plans(plans, options, screen)
        return []
    return plans


def show_settings(configs: Sequence[Config], screen: Screen) -> None:
    """Shows the resolved settings, as JSON with --json, else as YAML."""
    import yaml

    if screen.json:
        screen.answer({"schema": "config/1", "runs": [config.values for config in configs]})
        return
    texts = [yaml.safe_dump(config.values, sort_keys=False, allow_unicode=True) for config in configs]
    screen.write("---\n".join(texts))


def show_plans(plans: Sequence[Plan], options: Options, screen: Screen) -> None:
    """Shows the stages of one plan with further facts. For several plans it shows each stage once, even if plans share
    it."""
    store = Store(options.runs / ".store", create=False)
    rows: dict[str, dict[str, Any]] = {}
    for number, plan in enumerate(plans):
        for stage in plan.stages:
            rows.setdefault(stage.key or f"{number} {stage.name}", _row(stage, store))
    used = [row for row in rows.values() if row["state"] != "none"]
    count = f"{sum(row['state'] != 'cached' for row in used)} of {len(used)} stages to do"
    if len(plans) == 1:
        facts = [count, *_facts(plans[0]), *notes(plans[0]), *_changed(plans[0])]
        run_screen.plan(list(rows.values()), facts, screen, title=_title(plans[0]))
    else:
        facts = [f"{len(plans)} runs, {count}, stages they share counted once"]
        run_screen.plan(used, facts, screen, title="")
    if options.verbose:
        show_settings([plan.config for plan in plans], screen)


def _title(plan: Plan) -> str:
    source = plan.source.title if plan.source else "no source"
    return f"{plan.config.choices['strategy']}: {source} to {plan.target.title}"


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


def _facts(plan: Plan) -> list[str]:
    tuned = [stage for stage in plan.work if stage.kind == "train" and stage.name != "pretrain"]
    unlabelled = any(not view["labelled"] for stage in tuned for view in stage.spec["streams"].values())
    rows = f", {len(plan.target.rows('train', labelled=False).index):,} rows without" if unlabelled else ""
    return [f"target: {target_labels(plan):,} labels{rows}; test is read by evaluate only"]


def _changed(plan: Plan) -> list[str]:
    changes = [f"{key} ({before}: {now})" for key, (before, now) in sorted(plan.config.changed.items())]
    return [f"changed by you: {', '.join(changes)}"] if changes else []
