"""Runs killed with SIGKILL at random moments and started again with the same words: do they end with the bytes of a
run that nobody disturbed?   python benchmarks/kills.py [KILLS [FILE]]

FILE is where the results go, benchmarks/results/kills.json without it. A moment is uniform over the time the run takes
undisturbed, so most kills hit a stage at work. Children are forked from a server that has imported torch but run no op,
which makes fifty kills a matter of minutes. Fewer kills than strategies leave the last strategies out."""

import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from transfer_cli.store.store import Store

COMMON = ("data=digits", "runtime=cpu", "runtime.threads=1", "runtime.save_every=0", "trainer.steps=30")
STRATEGIES = {
    "fine_tune, align=adabn": ("strategy=fine_tune", "align=adabn", "model=conv4"),
    "coral": ("strategy=coral", "source=digits", "model=mlp"),
    "linear_probe": ("strategy=linear_probe", "model=mlp", "fine_tune.folds=2"),
}
PRELOADED = [
    "torch._dynamo",
    "transfer_cli.engine.stage",
    "transfer_cli.cli.run",
    "transfer_cli.runner.single_run",
    "transfer_cli.report.figures",
]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)
RESULTS = Path(__file__).parent / "results" / "kills.json"


def main(kills: int, file: Path = RESULTS) -> int:
    rng = random.Random(0)
    home = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=home) as folder:
        shares = {name: share(kills, number) for number, name in enumerate(STRATEGIES)}
        rows = [survey(name, Path(folder) / name, count, rng) for name, count in shares.items() if count]
    total = {key: sum(row[key] for row in rows) for key in ("kills", "runs", "stages", "files", "differing")}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"schema": "kills/1", "strategies": rows, "total": total}, indent=1) + "\n")
    for row in [*rows, {"strategy": "all", **total}]:
        print(
            "{strategy}: {kills} kills, {runs} runs, {stages} stages, {differing} of {files} files differ".format(**row)
        )
    return 1 if total["differing"] else 0


def share(kills: int, number: int) -> int:
    """How many of the kills the strategy at this place gets."""
    return kills // len(STRATEGIES) + (number < kills % len(STRATEGIES))


def survey(name: str, folder: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """Kills runs of one strategy until `kills` have died, each run started again until it is done."""
    assert lived(name, folder / "warm", None) == 0  # starts the server, so that the next run is timed without it
    start = time.monotonic()
    assert lived(name, folder / "whole", None) == 0
    seconds = time.monotonic() - start
    expected = manifests(folder / "whole")
    row: dict[str, Any] = {"strategy": name, "kills": 0, "runs": 0, "stages": 0, "files": 0, "differing": 0}
    row["killed_in"] = Counter[str]()
    while row["kills"] < kills:
        runs = folder / str(row["runs"])
        while (code := lived(name, runs, rng.uniform(0, seconds) if row["kills"] < kills else None)) != 0:
            assert code == -9, code
            row["kills"] += 1
            row["killed_in"][at_work(runs)] += 1
        compared(row, manifests(runs), expected)
    return row


def lived(name: str, runs: Path, seconds: float | None) -> int:
    """Exit code of the run; it is killed after `seconds`."""
    child = CONTEXT.Process(target=live, args=(["run", *STRATEGIES[name], *COMMON, "-q", "--runs", str(runs)],))
    child.start()
    child.join(seconds)
    child.kill()
    child.join()
    return int(child.exitcode or 0)


def live(argv: list[str]) -> None:
    """In the child. Figures are left out: they are drawn from what is safe by then, and take longer than the stages."""
    from transfer_cli.cli.main import main
    from transfer_cli.runner import single_run

    single_run.write_artifacts = lambda *_: None
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os._exit(main(argv))


def manifests(runs: Path) -> dict[str, dict[str, Any]]:
    """Manifest of every finished stage by key: size and hash of each file."""
    store = Store(runs / ".store", create=False)
    keys = store.keys()
    return {key: json.loads((store.path(key) / "MANIFEST.json").read_bytes()) for key in keys if store.verify(key)}


def at_work(runs: Path) -> str:
    """The stage that a killed run had not finished."""
    store = Store(runs / ".store", create=False)
    plans = sorted(runs.glob("*-*/*/plan.json"), key=lambda path: path.stat().st_mtime_ns)
    stages = json.loads(plans[-1].read_text()) if plans else []
    open_stages = (stage["stage"] for stage in stages if stage["key"] and not store.done(stage["key"]))
    return next(open_stages, "after the stages") if plans else "before the stages"


def compared(row: dict[str, Any], found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """Adds one finished run to the figures; a file that is missing differs."""
    row["runs"] += 1
    row["stages"] += len(expected)
    for key, files in expected.items():
        row["files"] += len(files)
        row["differing"] += sum(found.get(key, {}).get(name) != facts for name, facts in files.items())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, *map(Path, sys.argv[2:3])))
