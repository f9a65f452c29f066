"""What a user of domain adaptation reads when something does not fit: one line, what to do, the documented code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Transfer = Callable[..., Any]
DIGITS = ("source=digits", "data=digits", "model=mlp", "trainer=tiny", "runtime=cpu")


def wrong(told: Any) -> tuple[int, list[str]]:
    return told.code, told.errors


@pytest.mark.parametrize("weight", ["1.5", "-0.1"])
def test_lambda_outside_its_range(transfer: Transfer, weight: str) -> None:
    told = transfer("run", "strategy=dan", *DIGITS, f"align.weight={weight}")
    assert wrong(told) == (2, [f"error: align.weight={weight}: number 0 to 1, now 0.5"])


def test_other_classes_in_a_closed_set(transfer: Transfer) -> None:
    told = transfer("run", "strategy=dann", *DIGITS, "data.classes=[1,2,3]")
    assert told.code == 4
    assert told.errors[0] == "error: align=dann needs the same classes: digits 10, digits classes 1-3 3, 3 shared"
    assert told.errors[1] == "  do: strategy=fine_tune, or choose classes with data.classes"


def test_a_batch_larger_than_the_data(transfer: Transfer) -> None:
    told = transfer("run", "strategy=dann", *DIGITS, "trainer.batch=5000")
    assert told.code == 2
    assert told.errors[0].startswith("error: trainer.batch=5000: digits has 1,079 rows for align; allowed: 1 to 1,079")
    assert told.errors[1] == "  do: trainer.batch=1079"


def test_a_batch_larger_than_the_few_labels_is_taken_as_it_is(transfer: Transfer) -> None:
    assert transfer("show", "strategy=dann", *DIGITS, "data.shots=1").code == 0


@pytest.mark.parametrize("strategy", ["shot", "adda", "tent"])
def test_nothing_has_taught_the_net(transfer: Transfer, strategy: str) -> None:
    told = transfer("run", f"strategy={strategy}", *DIGITS, "pretrain=none")
    text = "adapts a net that has learned the classes, and no earlier stage learns them"
    assert wrong(told) == (2, [f"error: align={strategy}: {text}", "  do: pretrain=supervised, or weights=RUN"])


def test_a_target_without_rows_to_adapt_to(transfer: Transfer, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "source.npz", features=rows, labels=labels)
    np.savez(tmp_path / "target.npz", test_features=rows, test_labels=labels)
    told = transfer("run", "strategy=dann", "source=./source.npz", "data=./target.npz", "trainer=tiny")
    assert told.code == 4
    assert len(told.errors) <= 2
    assert "target.npz" in told.errors[0]
