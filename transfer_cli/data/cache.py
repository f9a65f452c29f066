"""What is worked out once and kept: sha256 of files, decoded arrays, pictures in the shape a net takes.
Owns <cache>/fingerprints, <cache>/arrays. A file there is written beside its name and renamed, mode 0444, never
changed; it may be deleted at any time."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.data.decode import fitted, grey, picture
from transfer_cli.data.raw import Raw, RawPart, bad_file
from transfer_cli.errors import DataError, Fault, ResourceError

# A file changed less than this before it was read could change again within one tick of the clock: hash it anew.
SETTLED_NS = 2_000_000_000
SLOW_S = 1.0
LAYOUT = 1  # raise when `converted` gives other pixels from the same input


def digests(sources: Iterable[Path], cache: Path) -> dict[Path, str]:
    """sha256 (hex) of every source, remembered by (path, size, mtime_ns). DataError if one cannot be read."""
    files = {path: os.path.abspath(path) for path in sources}
    book = cache / "fingerprints" / (_name(files.values()) + ".json")
    known = _read(book)
    found = {name: _entry(path, *_stamp(path), known.get(name)) for path, name in files.items()}
    if found != known:
        _put(book, lambda tmp: tmp.write_text(json.dumps(_settled(found))))
    return {path: str(found[name][2]) for path, name in files.items()}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise bad_file(path, (error.strerror or "unreadable").lower()) from None
    return stat.st_size, stat.st_mtime_ns


def _entry(path: Path, size: int, mtime: int, known: Any) -> list[Any]:
    if isinstance(known, list) and known[:2] == [size, mtime]:
        return known
    try:
        with path.open("rb") as file:
            return [size, mtime, file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise bad_file(path, (error.strerror or "unreadable").lower()) from None


def _settled(found: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    now = time.time_ns()
    return {path: entry for path, entry in found.items() if now - entry[1] > SETTLED_NS}


def _name(parts: Iterable[str]) -> str:
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _read(book: Path) -> dict[str, Any]:
    try:
        known = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _put(path: Path, fill: Callable[[Path], Any]) -> None:
    """Let `fill` write a temporary file, then give it its name. No space is a ResourceError."""
    tmp = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fill(tmp)
        tmp.chmod(0o444)
        tmp.replace(path)
    except OSError as error:
        raise ResourceError(Fault(str(path.parent), f"cannot keep data here: {error.strerror or error}")) from None
    finally:
        tmp.unlink(missing_ok=True)


def fingerprint(raw: Raw) -> str:
    """sha256 of the content: classes, the bytes of all sources in order, and the labels of every part (in a folder
    they are no file's bytes). Where the files lie does not count."""
    digest = sha256(json.dumps([raw.classes, [raw.digests[path] for path in raw.sources]]).encode())
    for part in sorted(raw.parts):
        digest.update(part.encode() + raw.parts[part].labels.astype("<i8").tobytes())
    return digest.hexdigest()


def remember(cache: Path, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array stored under `key`, made by `make` the first time."""
    path = cache / "arrays" / f"{_name([key])}.npy"
    stored = _mapped(path)
    if stored is not None:
        return stored
    made = make()
    _put(path, lambda tmp: _save(tmp, made))
    return made


def _save(tmp: Path, array: np.ndarray) -> None:
    with tmp.open("xb") as file:
        np.save(file, array, allow_pickle=False)


def _mapped(path: Path) -> np.ndarray | None:
    """The stored array, mapped copy-on-write (torch wants writable memory; the file stays as it is); None if absent
    or damaged."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array


def converted(raw: Raw, part: str, input: Mapping[str, Any], cache: Path) -> np.ndarray:
    """All pictures of one raw part, uint8 [N, channels, crop, crop] as `input` says, in the order of its labels.
    What took over a second, and every set of files, is kept in the cache and mapped. DataError names all bad files."""
    rows, shape = raw.parts[part], _shape(input)
    key = f"{LAYOUT} {raw.fingerprint} {part} {shape} {input['size']}"
    path = cache / "arrays" / f"{_name([key])}.npy"
    stored = _mapped(path)
    if stored is not None and stored.shape == (len(rows.labels), *shape):
        return stored
    if rows.files is not None:
        files = rows.files
        _put(path, lambda tmp: _fill(tmp, rows, files, shape, int(input["size"])))
        return _mapped_or_fail(path)
    return _timed(rows, shape, int(input["size"]), path)


def _shape(input: Mapping[str, Any]) -> tuple[int, int, int]:
    return int(input["channels"]), int(input["crop"]), int(input["crop"])


def _mapped_or_fail(path: Path) -> np.ndarray:
    stored = _mapped(path)
    if stored is None:
        raise ResourceError(Fault(str(path), "was written and cannot be read back"))
    return stored


def _timed(rows: RawPart, shape: tuple[int, int, int], size: int, path: Path) -> np.ndarray:
    assert rows.pixels is not None, "a part has pixels or files"
    start = time.monotonic()
    pixels = rows.pixels()
    if len(pixels) != len(rows.labels):
        raise DataError(Fault(rows.names(0), f"{len(pixels):,} pictures and {len(rows.labels):,} labels"))
    array = from_array(pixels, shape, size)
    if time.monotonic() - start > SLOW_S:
        _put(path, lambda tmp: _save(tmp, array))
    return array


def from_array(pixels: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """uint8 [N, H, W] or [N, H, W, 3] as uint8 [N, *shape]; without a resize it is a copy or two of the whole."""
    channels, crop, _ = shape
    if pixels.shape[1:3] != (size, size) or crop != size:
        return _resized(pixels, shape, size)
    if channels == 1:
        return np.ascontiguousarray((pixels if pixels.ndim == 3 else grey(pixels))[:, None])
    colour = pixels[..., None].repeat(3, axis=3) if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(colour.transpose(0, 3, 1, 2))


def _resized(pixels: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    from PIL import Image

    out = np.empty((len(pixels), *shape), np.uint8)
    for row, image in enumerate(pixels):
        out[row] = fitted(Image.fromarray(image), shape[0], size, shape[1])
    return out


def _fill(tmp: Path, rows: RawPart, files: tuple[Path, ...], shape: tuple[int, int, int], size: int) -> None:
    """Decode all files into a new .npy file. Space is taken first: a full disk under a mapping would be SIGBUS."""
    out = np.lib.format.open_memmap(tmp, mode="w+", dtype=np.uint8, shape=(len(files), *shape))
    with tmp.open("r+b") as file:
        _reserve(file.fileno(), tmp.stat().st_size)

    def decode(row: int) -> DataError | None:
        try:
            out[row] = fitted(picture(files[row]), shape[0], size, shape[1])
        except DataError as error:
            return error
        return None

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        bad = [error for error in pool.map(decode, range(len(files))) if error]
    if bad:
        raise DataError(_worst(bad))
    out.flush()


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        # Some file systems cannot reserve; only a full one is a reason to stop.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _worst(bad: list[DataError]) -> Fault:
    """The first fault, the number of the others, and the way out."""
    first = bad[0].faults[0]
    more = f"; {len(bad) - 1} more" if len(bad) > 1 else ""
    do = "transfer data check FOLDER -o good.csv, then data=good.csv"
    return Fault(first.key, first.text + more, do=do)
