"""Checks whether the target has enough classes and rows for few-shot episodes."""

from typing import Any

import numpy as np

from transfer_cli.data.dataset import DataSet
from transfer_cli.errors import DataError, Fault


def enough_for_episodes(target: DataSet, node: dict[str, Any], seed: int) -> None:
    """Raises DataError if a class has fewer rows than an episode needs, or if there are too few classes."""
    classes = target.classes
    if node["way"] > len(classes):
        text = f"{target.title} has {len(classes)} classes"
        raise DataError(Fault("evaluate.way", text, str(node["way"]), do=f"evaluate.way={len(classes)}"))
    scored = node["part"]
    labels = {"train": target.rows("train", seed=seed).labels, scored: target.rows(scored, seed=seed).labels}
    for key, part in (("shots", "train"), ("queries", scored)):
        counts = np.bincount(labels[part], minlength=len(classes))
        least = int(counts.argmin())
        if counts[least] < node[key]:
            text = f"class {classes[least]} has {counts[least]} {part} rows; allowed 1 to {counts[least]}"
            raise DataError(Fault(f"evaluate.{key}", text, str(node[key])))
