"""Artifacts of a finished run besides its numbers: the model card, figures and the report to a tracker. All of them are
derived from stored results."""

import shutil
from collections.abc import Callable

from transfer_cli.analysis.results import Run
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.rundir.runs import read_json
from transfer_cli.store.store import quiet

FIGURES = ("curves.png", "confusion.png", "confusions.csv", "domains.png")


def write_artifacts(run: RunDir, say: Callable[[str], None] = quiet) -> None:
    """Writes MODEL_CARD.md and the figures, and reports to the tracker. Raises TransferError (exit 1) that names the
    figures that failed; a failed tracker only gives a warning, through `say`."""
    from transfer_cli.report.model_card import model_card

    run.write("MODEL_CARD.md", model_card(Run.of(run.data)))
    _track(run, say)
    if not _copied(run):
        from transfer_cli.report.figures import draw

        draw(run.path)


def _track(run: RunDir, say: Callable[[str], None]) -> None:
    from transfer_cli.report.trackers import track

    kind = run.data["config"]["runtime"]["tracker"]
    try:
        track(kind, run.path, run.runs, Run.of(run.data))
    except Exception as error:  # a library may raise anything
        text = f"warning: tracker {kind}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        run.log(text)
        say(text)


def _copied(run: RunDir) -> bool:
    """Copies the figures of an earlier run with the same stages, if all stages are cached; returns whether it did."""
    if not all(stage["cached"] or stage["state"] == "none" for stage in run.data["stages"]):
        return False
    keys = [stage["key"] for stage in run.data["stages"]]
    for other in sorted(run.path.parent.iterdir(), reverse=True):
        earlier = read_json(other / "results.json") if other != run.path else None
        if earlier and [stage["key"] for stage in earlier["stages"]] == keys and (other / FIGURES[0]).is_file():
            for name in FIGURES:
                if (other / name).is_file():
                    shutil.copyfile(other / name, run.path / name)
            return True
    return False
