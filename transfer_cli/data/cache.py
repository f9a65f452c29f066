"""Pictures converted to the input size of a net, cached in <cache>/arrays; array_cache.py writes the files."""

import errno
import os
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer_cli.data.array_cache import mapped, name_of, put, save
from transfer_cli.data.array_cache import remember as remember
from transfer_cli.data.contracts import Raw, RawPart
from transfer_cli.data.fingerprints import digests as digests
from transfer_cli.data.fingerprints import fingerprint as fingerprint
from transfer_cli.data.formats.decode import Fit, fitted, grey, picture
from transfer_cli.errors import DataError, Fault, ResourceError

SLOW_S = 1.0
LAYOUT = 1  # increment when `converted` returns other pixels for the same input


def _nothing() -> None: ...


def converted(
    raw: Raw, part: str, input: Mapping[str, Any], cache: Path, poll: Callable[[], None] = _nothing
) -> np.ndarray:
    """All pictures of one raw part, uint8 [N, channels, crop, crop] as defined by `input`, in the order of the labels.

    Pictures from files, and all conversions of more than a second, are cached and memory-mapped. `poll` is called for
    each picture; if it raises, the conversion stops and nothing is cached. Raises DataError, which names the first bad
    file and counts the others, and ResourceError if the cache cannot be written."""
    rows, fit = raw.parts[part], Fit.of(input)
    shape, way = fit.shape, "" if fit.interpolation == "bilinear" else f" {fit.interpolation}"
    key = f"{LAYOUT} {raw.fingerprint} {part} {shape} {fit.size}{way}"
    path = cache / "arrays" / f"{name_of([key])}.npy"
    stored = mapped(path)
    if stored is not None and stored.shape == (len(rows.labels), *shape):
        return stored
    if rows.files is not None:
        files = rows.files
        put(path, lambda tmp: _fill(tmp, raw.name, files, fit, poll))
        return _mapped_or_fail(path)
    return _timed(rows, fit, path, poll)


def _mapped_or_fail(path: Path) -> np.ndarray:
    stored = mapped(path)
    if stored is None:
        raise ResourceError(Fault(str(path), "was written and cannot be read back"))
    return stored


def _timed(rows: RawPart, fit: Fit, path: Path, poll: Callable[[], None]) -> np.ndarray:
    start = time.monotonic()
    pixels = rows.read()
    if len(pixels) != len(rows.labels):
        raise DataError(Fault(rows.names(0), f"{len(pixels):,} pictures and {len(rows.labels):,} labels"))
    array = from_array(pixels, fit, poll)
    if time.monotonic() - start > SLOW_S:
        put(path, lambda tmp: save(tmp, array))
    return array


def from_array(pixels: np.ndarray, fit: Fit, poll: Callable[[], None] = _nothing) -> np.ndarray:
    """Converts uint8 [N, H, W] or [N, H, W, 3] to uint8 [N, channels, crop, crop]. Without a resize, all pictures are
    copied at once."""
    if pixels.shape[1:3] != (fit.size, fit.size) or fit.crop != fit.size:
        return _resized(pixels, fit, poll)
    if fit.channels == 1:
        return np.ascontiguousarray((pixels if pixels.ndim == 3 else grey(pixels))[:, None])
    colour = pixels[..., None].repeat(3, axis=3) if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(colour.transpose(0, 3, 1, 2))


def _resized(pixels: np.ndarray, fit: Fit, poll: Callable[[], None]) -> np.ndarray:
    out = np.empty((len(pixels), *fit.shape), np.uint8)
    for row, image in enumerate(pixels):
        poll()
        out[row] = fitted(Image.fromarray(image), fit)
    return out


def _fill(tmp: Path, name: str, files: tuple[Path, ...], fit: Fit, poll: Callable[[], None]) -> None:
    """Decodes all files into a new .npy file. Disk space is reserved first, because a full disk would kill a process
    that writes to a memory map (SIGBUS)."""
    out = np.lib.format.open_memmap(tmp, mode="w+", dtype=np.uint8, shape=(len(files), *fit.shape))
    with tmp.open("r+b") as file:
        _reserve(file.fileno(), tmp.stat().st_size)

    def decode(row: int) -> DataError | None:
        try:
            out[row] = fitted(picture(files[row]), fit)
        except DataError as error:
            return error
        return None

    bad = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for error in pool.map(decode, range(len(files))):
            poll()
            bad += [error] if error else []
    if bad:
        raise DataError(_summary(bad, name))
    out.flush()


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        # Some file systems cannot reserve space; only a full one is an error.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _summary(bad: list[DataError], name: str) -> Fault:
    """The first fault, the number of the others, and what to do."""
    first = bad[0].faults[0]
    more = f"; {len(bad) - 1} more" if len(bad) > 1 else ""
    do = f"transfer data check {shlex.quote(name)} -o good.yaml, then data=good.yaml"
    return Fault(first.key, first.text + more, do=do)
