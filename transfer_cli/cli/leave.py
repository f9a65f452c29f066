"""What a finished run leaves beside its numbers: model card and figures. Derived: a fault here costs no result."""

import shutil

from transfer_cli.rundir.rundir import RunDir
from transfer_cli.rundir.runs import read_json

FIGURES = ("curves.png", "confusion.png", "confusions.csv")


def leave(run: RunDir) -> None:
    """Writes MODEL_CARD.md and the figures. Raises TransferError (exit 1) naming a figure that failed."""
    from transfer_cli.report.model_card import model_card

    run.write("MODEL_CARD.md", model_card(run.data))
    if not _copied(run):
        from transfer_cli.report.figures import draw

        draw(run.path)


def _copied(run: RunDir) -> bool:
    """The same command with every stage cached gives the same figures: taken from the run that drew them."""
    if not all(stage["cached"] or stage["state"] == "none" for stage in run.data["stages"]):
        return False
    keys = [stage["key"] for stage in run.data["stages"]]
    for other in sorted(run.path.parent.iterdir(), reverse=True):
        twin = read_json(other / "results.json") if other != run.path else None
        if twin and [stage["key"] for stage in twin["stages"]] == keys and (other / FIGURES[0]).is_file():
            for name in FIGURES:
                if (other / name).is_file():
                    shutil.copyfile(other / name, run.path / name)
            return True
    return False
