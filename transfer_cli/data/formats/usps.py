"""Reader of USPS as libsvm keeps it: bz2 text, one picture a line, `label 1:v ... 256:v`, labels 1..10, v in -1..1.
Hull 1994; www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps."""

import bz2
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import bad_file

PIXELS = 256
MOST_BYTES = 200_000_000


def read_usps(path: Path) -> np.ndarray:
    """uint8 [N, 257]: label 0..9, then 16x16 pixels, rounded down from (v + 1) / 2 * 255 as torchvision does. DataError
    names the first line that is no such row."""
    numbers = _numbers(path)
    values = numbers[:, 2::2].astype(np.float32)
    _fail_if(path, ~np.isin(numbers[:, 0], np.arange(1, 11)), numbers[:, 0], "label {:g} is outside 1..10")
    _fail_if(
        path, np.asarray(~(np.abs(values).max(1) <= 1)), np.abs(values).max(1), "value of size {:g} is outside -1..1"
    )
    pixels = ((values + 1) / 2 * 255).astype(np.uint8)
    return np.hstack([(numbers[:, :1] - 1).astype(np.uint8), pixels])


def _numbers(path: Path) -> np.ndarray:
    """float64 [N, 513]: label, then index and value 256 times."""
    lines = _text(path).replace(b":", b" ").splitlines()
    for row, line in enumerate(lines, 1):
        if (count := len(line.split())) != 1 + 2 * PIXELS:
            raise bad_file(path, f"row {row}: {count // 2} values, want {PIXELS}")
    try:
        numbers = np.array(b" ".join(lines).split(), dtype="S16").astype(np.float64)
    except ValueError as error:
        raise bad_file(path, f"not readable as libsvm text: {error}") from None
    if not len(numbers):
        raise bad_file(path, "0 rows")
    return numbers.reshape(len(lines), -1)


def _text(path: Path) -> bytes:
    try:
        with bz2.open(path) as file:
            text = file.read(MOST_BYTES)
    except (OSError, EOFError, ValueError) as error:
        raise bad_file(path, f"not readable as bz2: {error}") from None
    if len(text) == MOST_BYTES:
        raise bad_file(path, f"unpacks to more than {MOST_BYTES:,} bytes")
    return text


def _fail_if(path: Path, bad: np.ndarray, values: np.ndarray, text: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise bad_file(path, f"row {row + 1}: " + text.format(values[row]))
