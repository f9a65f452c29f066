"""Builds the content of results.json from finished stages: metrics by rule, headline, cost. Reads the store; no
torch."""

import json
from collections.abc import Mapping
from typing import Any

from transfer_cli import legacy_measures
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.store.commit import read_manifest
from transfer_cli.store.disk import read_file
from transfer_cli.store.store import Store

Json = dict[str, Any]


def outcome(plan: Plan, store: Store, cached: Mapping[str, bool], seconds: float) -> Json:
    """The entries of results.json for a plan whose stages are all done. `cached`: by stage name, whether the stage was
    already in the store; `seconds`: the duration of this run. Raises store.Damaged if a stage is incomplete."""
    stages = [_stage(stage, store, cached) for stage in plan.stages]
    scored = _read(store, plan.stages[-1]) if plan.stages and plan.stages[-1].name == "evaluate" else None
    entries: Json = {"stages": stages, "fingerprints": _fingerprints(plan), "notes": notes(plan)}
    entries["metrics"] = (
        {rule: _metrics(entry, rule, plan, store) for rule, entry in scored["rules"].items()} if scored else {}
    )
    entries["metrics"] |= _oracle(plan, store, scored)
    entries["headline"] = _headline(scored) if scored else None
    entries |= _declared(scored) if scored else {"measures": {}}
    entries["domains"] = (scored or {}).get("domains")
    entries["cost"] = _cost(plan, store, stages, scored, seconds)
    entries["identity"] = (store.identity(plan.work[-1].key) if plan.work else None) or {}
    return entries


def _read(store: Store, stage: Stage) -> Json:
    return dict(json.loads(store.read(stage.key, "results.json")))


def _stage(stage: Stage, store: Store, cached: Mapping[str, bool]) -> Json:
    entry = {"name": stage.name, "method": stage.method, "what": stage.what, "key": stage.key, "rule": stage.rule}
    if not stage.key:
        return entry | {"state": "none", "cached": False, "seconds": 0.0, "bytes": 0}
    spent = timing(store, stage.key)
    size = sum(store.files(stage.key).values())
    return entry | {"state": "done", "cached": cached.get(stage.name, True), "seconds": spent["seconds"], "bytes": size}


def timing(store: Store, key: str) -> Json:
    """The sum of the seconds and the maximum of the peak memory (bytes) over all processes that worked on a stage; 0 if
    nothing is recorded."""
    try:
        lines = read_file(store.path(key) / "timing.jsonl").splitlines()
    except FileNotFoundError:
        lines = []
    rows = [json.loads(line) for line in lines if line.endswith(b"}")]
    return {"seconds": sum(r["seconds"] for r in rows), "peak_bytes": max((r["peak_bytes"] for r in rows), default=0)}


def _metrics(entry: Json, rule: str, plan: Plan, store: Store) -> Json:
    """The test metrics of one rule, half the width of the primary metric's interval, and the step of its snapshot."""
    metrics = dict(entry["metrics"]) | {f"{entry['primary']}_ci95": entry["ci95"]}
    trained = [stage for stage in plan.work if stage.kind == "train"]
    if trained:
        facts = _read(store, trained[-1])["rules"].get(rule, {})
        metrics |= {"step": facts["step"]} if "step" in facts else {}
    return metrics


def _oracle(plan: Plan, store: Store, scored: Json | None) -> Json:
    """With `oracle: true`, the best test value during the last training. It is selected on test rows, so it is not a
    valid result."""
    stage = next((stage for stage in reversed(plan.work) if "oracle" in stage.spec), None)
    if stage is None or scored is None:
        return {}
    entry = scored["rules"][scored["headline"]]
    name, best_of = entry["primary"], min if entry["lower"] else max
    column = f"oracle/{name.removeprefix('test/')}"
    rows = [json.loads(line) for line in store.read(stage.key, "rows.jsonl").splitlines()]
    best = best_of((row for row in rows if column in row), key=lambda row: row[column], default=None)
    return {"oracle": {name: best[column], "step": best["step"]}} if best else {}


def _declared(scored: Json) -> Json:
    """The declarations of the evaluation: measures by metric, over all rules (legacy measures if it declares none),
    intervals by rule, views, and the judge."""
    rules: Json = scored["rules"]
    measures = {name: entry for facts in rules.values() for name, entry in facts.get("measures", {}).items()}
    intervals = {rule: facts["intervals"] for rule, facts in rules.items() if facts.get("intervals")}
    judge = next((facts["judge"] for facts in rules.values() if facts.get("judge")), scored.get("judge"))
    return {
        "measures": _ordered(measures or _legacy(rules)),
        **({"intervals": intervals} if intervals else {}),
        **({"views": scored["views"]} if scored.get("views") else {}),
        **({"judge": judge} if judge else {}),
    }


def _legacy(rules: Json) -> Json:
    """Measures of older results, looked up by the names of the metrics; an unknown metric is a share."""
    names = dict.fromkeys(name.partition("/")[2] for facts in rules.values() for name in facts["metrics"])
    families = dict.fromkeys(name.partition("/")[0] for name in names)
    known = {name: legacy_measures.MEASURES.get(name, legacy_measures.OTHER) for name in families}
    return {name: measure.as_json() for name, measure in known.items()}


def _ordered(measures: Json) -> Json:
    """Sorts measures for tables, because JSON in the store is sorted by name: first the primary measure, then those of
    the legacy table in its order, then the others by name."""
    order = {name: place for place, name in enumerate(legacy_measures.MEASURES)}
    names = sorted(measures, key=lambda name: (not measures[name].get("primary"), order.get(name, len(order)), name))
    return {name: measures[name] for name in names}


def _headline(scored: Json) -> Json:
    rule = scored["headline"]
    entry = scored["rules"][rule]
    name = entry["primary"]
    details = {key: entry[key] for key in ("ci95", "n", "over")}
    return {"name": name, "rule": rule, "value": entry["metrics"][name], **details}


def _cost(plan: Plan, store: Store, stages: list[Json], scored: Json | None, seconds: float) -> Json:
    spent = sum(stage["seconds"] for stage in stages)
    cached = sum(stage["seconds"] for stage in stages if stage["cached"])
    nets = [_read(store, stage) for stage in plan.work if stage.kind in ("train", "given")]
    parameters = nets[-1]["parameters"] if nets else next(iter(scored["rules"].values()))["parameters"] if scored else 0
    tuned = [
        _read(store, stage)["trained"] for stage in plan.work if stage.kind == "train" and stage.name != "pretrain"
    ]
    models = [read_manifest(store.path(stage.key)) or {} for stage in plan.work if stage.kind != "evaluate"]
    return {
        "seconds": spent,
        "seconds_cached": cached,
        "seconds_run": seconds,
        "trained": tuned[-1] if tuned else 0,
        "parameters": parameters,
        "peak_bytes": max((timing(store, stage.key)["peak_bytes"] for stage in plan.work), default=0),
        "bytes": models[-1].get("model-final.safetensors", (0, ""))[0] if models else 0,
        "labels": target_labels(plan),
        "rows_per_s": _speed(plan, stages),
    }


def _speed(plan: Plan, stages: list[Json]) -> float | None:
    """The number of rows evaluated per second; None if it is not known."""
    if not stages or stages[-1]["name"] != "evaluate" or not stages[-1]["seconds"]:
        return None
    return len(plan.target.rows(plan.values["evaluate"]["part"], seed=0).index) / float(stages[-1]["seconds"])


def target_labels(plan: Plan) -> int:
    """The number of labels of the target that training or a predictor may use."""
    last = plan.work[-1].spec if plan.work else {}
    trained = any(stage.kind == "train" and _reads_labels(stage) for stage in plan.work)
    if not trained and "episodes" in last:
        return int(last["episodes"]["way"] * last["episodes"]["shots"])
    return len(plan.target.rows("train", seed=0).index) if trained or "support" in last else 0


def _reads_labels(stage: Stage) -> bool:
    return any(view["side"] == "target" and view["labelled"] for view in stage.spec["streams"].values())


def _fingerprints(plan: Plan) -> Json:
    sides = {"target": plan.target, "source": plan.source}
    fingerprints = {side: data.fingerprint for side, data in sides.items() if data is not None}
    # the scored rows: only runs with the same rows may be compared
    part = plan.values["evaluate"]["part"]
    return fingerprints | ({"test": plan.work[-1].spec[part]} if plan.work and plan.work[-1].kind == "evaluate" else {})


def notes(plan: Plan) -> list[str]:
    """Notes on the data that a reader of the results must know."""
    lines = [f"{data.name}: {data.note}" for data in (plan.target, plan.source) if data and data.note]
    if plan.source is not None and plan.values["source"]["family"] == "base":
        lines.append("source: the first half of the classes; the target is the other half")
    return list(dict.fromkeys(lines))
