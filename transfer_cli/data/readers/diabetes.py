"""Patients with diabetes: ten measurements, and how far the disease is a year later. Efron, Hastie, Johnstone &
Tibshirani 2004, Least Angle Regression, Ann. Statist. 32:407; the files of scikit-learn's load_diabetes, which the
extra `photos` installs."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import Places, Raw, RawPart, bad_file, numbered
from transfer_cli.data.formats.targets import CLASS
from transfer_cli.errors import ConfigError
from transfer_cli.extras import absent

FILES = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")


class Diabetes:
    """442 rows of age, sex, body mass index, blood pressure and six blood values, each column of mean 0 and standard
    deviation 1 over all rows; to predict: the progression, 25 to 346. Test is 20 %, cut by split_seed."""

    def open(self, places: Places) -> Raw:
        """Raw with the numbers to predict. ConfigError without scikit-learn."""
        features, target = _files(places.word)
        progression = _numbers(target).astype(np.float32).reshape(-1, 1)
        rows = RawPart(
            np.zeros(len(progression), np.int64),
            numbered("diabetes", "all"),
            rows=lambda: _standardised(features),
            targets=progression,
        )
        return Raw(
            "diabetes", (CLASS,), {"train": rows}, (features, target), kind="vectors", flip=False, task="regress",
            targets=("progression",), test_fraction=0.2, layout="10 numbers a row",
        )  # fmt: skip


def _files(word: str) -> list[Path]:
    """The two files inside scikit-learn, which is not imported for them."""
    if faults := absent("photos", word, "diabetes", module="sklearn"):
        raise ConfigError(*faults)
    spec = find_spec("sklearn")
    assert spec is not None, "checked above"
    folders = [Path(folder, "datasets", "data") for folder in spec.submodule_search_locations or ()]
    return [
        next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name) for name in FILES
    ]


@cache
def _standardised(file: Path) -> np.ndarray:
    """float32 [442, 10]."""
    values = _numbers(file)
    standardised: np.ndarray = (values - values.mean(0)) / values.std(0)
    return standardised.astype(np.float32)


def _numbers(file: Path) -> np.ndarray:
    try:
        values: np.ndarray = np.loadtxt(file, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise bad_file(file, f"not readable as a table of numbers: {error}") from None
    return values
