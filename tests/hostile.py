"""Pages of made-up runs, also of runs in which every name is an attack."""

from typing import Any

from madeup import run, seeds, study, typed

from transfer_cli.report.compare_table import table
from transfer_cli.report.page import mistakes, page
from transfer_cli.report.page.material import Cloud, Clouds, Material

EVIL = "<script>alert(1)</script>"
QUOTED = "\"'><img src=x onerror=alert(2)>"
PNG = bytes.fromhex("89504e470d0a1a0a") + b"rest"


def material(runs: list[dict[str, Any]], **more: Any) -> Material:
    found = study(runs)
    return Material(found, table(found), typed(runs), "transfer report xyz", **more)


def hostile_page(monkeypatch: Any) -> str:
    """A page of runs in which every name is an attack."""
    runs = [
        *seeds("scratch", 0.8, 0.82, 0.81, recall={EVIL: 0.5}),
        *seeds("fine_tune", 0.9, 0.93, 0.92, recall={EVIL: 0.6}),
    ]
    for one in runs:
        one["choices"]["data"], one["choices"]["model"] = EVIL, QUOTED
        one["config"]["data"]["path"] = QUOTED + "\u202e\x1b]0;x\x07"
        one["config"]["expect"] = {
            "metric": "test/accuracy",
            "rule": "final",
            "value": 0.9,
            "tolerance": 0.1,
            "source": EVIL,
        }
        one["choices"]["strategy"] += EVIL
        one |= {"note": QUOTED, "notes": [EVIL], "versions": {EVIL: QUOTED}, "name": EVIL, "path": "/nowhere/a/b"}
        one["fingerprints"]["test"]["classes"] = [EVIL, QUOTED]
    runs.append({**run(), "status": "failed", "name": QUOTED, "id": EVIL, "path": "/nowhere/a/c"})
    kept = {
        "confusion": [[3, 1], [2, 4]],
        "confused": [{"is": EVIL, "taken_for": QUOTED, "count": 2, "rows": [EVIL, "p"]}],
    }
    monkeypatch.setattr(mistakes, "evaluated", lambda run, rule: kept)
    cloud = Cloud({"target": [(0.0, 1.0, EVIL), (1.0, 2.0, QUOTED)], "source": [(0.5, 0.5, EVIL)]}, 0.5, 0.75, 1.0, 10)
    ids = [one["id"] for one in runs]
    return page.page(
        material(
            runs,
            examples={EVIL: QUOTED, "p": PNG},
            clouds={one: Clouds(cloud, cloud, EVIL) for one in ids},
            absent={"clouds": EVIL},
        )
    ).html
