"""Whether the target has what few-shot episodes ask for."""

from typing import Any

import numpy as np

from transfer_cli.data.dataset import DataSet
from transfer_cli.errors import DataError, Fault


def enough_for_episodes(target: DataSet, node: dict[str, Any], seed: int) -> None:
    """Raises DataError where a class has fewer rows than an episode takes, or there are too few classes."""
    classes = target.classes
    if node["way"] > len(classes):
        text = f"{target.title} has {len(classes)} classes"
        raise DataError(Fault("evaluate.way", text, str(node["way"]), do=f"evaluate.way={len(classes)}"))
    asked = node["part"]
    labels = {"train": target.rows("train", seed=seed).labels, asked: target.rows(asked, seed=seed).labels}
    for key, part in (("shots", "train"), ("queries", asked)):
        counts = np.bincount(labels[part], minlength=len(classes))
        least = int(counts.argmin())
        if counts[least] < node[key]:
            text = f"class {classes[least]} has {counts[least]} {part} rows; allowed 1 to {counts[least]}"
            raise DataError(Fault(f"evaluate.{key}", text, str(node[key])))
