"""Reader of idx files (the format of MNIST), plain or .gz. LeCun, yann.lecun.com/exdb/mnist: two zero bytes, a type
byte (8 = uint8), the number of dimensions, their sizes as big-endian uint32, then the bytes."""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from transfer_cli.data.contracts import bad_file

MOST_BYTES = 4_000_000_000


def read_idx(path: Path) -> np.ndarray:
    """uint8 array of the file. Never reads past what the header promises. DataError says where it ends too early."""
    try:
        with path.open("rb") as file:
            return _read(path, gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file)
    except (OSError, EOFError, zlib.error) as error:
        raise bad_file(path, f"not readable as idx: {error}") from None


def _read(path: Path, file: IO[bytes] | gzip.GzipFile) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
        raise bad_file(path, f"no idx file of bytes: begins with {head.hex(' ') or 'nothing'}, want 00 00 08")
    sizes = np.frombuffer(file.read(4 * head[3]).ljust(4 * head[3], b"\0"), ">u4").tolist()
    count = math.prod(sizes)
    if count > MOST_BYTES:
        raise bad_file(path, f"header promises {count:,} bytes, allowed {MOST_BYTES:,}")
    start, data = 4 + 4 * head[3], file.read(count)
    if len(data) < count or file.read(1):
        held = f"ends at byte {start + len(data):,}" if len(data) < count else "goes on after byte"
        raise bad_file(path, f"idx {held}{' of' if len(data) < count else ''} {start + count:,}")
    return np.frombuffer(data, np.uint8).reshape(sizes)
