"""Data sets by the Hugging Face library `datasets` (an extra): a folder of pictures, .csv or .parquet files on this
machine, or a name on the hub. Only the library's own readers run, never code that comes with data."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from transfer_cli.data.array_cache import put
from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart, bad_file, numbered, with_test
from transfer_cli.data.fetch.download import forbidden
from transfer_cli.data.formats.decode import SUFFIXES
from transfer_cli.data.formats.npz import numbered_classes
from transfer_cli.data.readers.folder import SPLITS
from transfer_cli.errors import DataError, Fault, nearest
from transfer_cli.extras import extra
from transfer_cli.ranges import Range

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[\w.-]{1,96})?", re.ASCII)
TABLES = {".parquet": "parquet", ".csv": "csv"}
Sets = dict[str, Any]


class Hf:
    """`path`: a folder, a file or a name on the hub, with `subset`. `input` is the column to learn from, pictures or
    texts; null: the column of pictures, else `text`. `label` is the column of classes. Splits named train, validation
    and test are the parts; without a test split, `test_fraction` of every class is cut off."""

    def __init__(
        self,
        *,
        path: str,
        subset: str | None = None,
        input: str | None = None,
        label: str = "label",
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.subset, self.input, self.label = path, subset, input, label
        self.test_fraction = test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with pictures or texts. DataError for data that are missing, cannot be read or lack a column; ConfigError
        without the extra."""
        if forbidden():
            os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
        library = _library(places.word)
        found, tables = self._load(library, places)
        sets, ignored = _parts(self.path, found)
        column = self._column(library, sets["train"].features)
        classes, labels = self._labels(library, sets)
        pictures = isinstance(sets["train"].features[column], library.Image)
        parts = {}
        for part, rows in sets.items():
            name = numbered(self.path, part)
            if pictures:
                coded = rows.cast_column(column, library.Image(decode=False))
                homes = [*map(Path.absolute, tables), Path(library.config.HF_CACHE_HOME), places.cache.absolute()]
                parts[part] = RawPart(labels[part], name, files=tuple(_files(coded[column], places.cache, homes, name)))
            else:
                texts = [_text(name(row), text) for row, text in enumerate(rows[column])]
                parts[part] = RawPart(labels[part], name, rows=lambda texts=texts: texts)  # type: ignore[misc]
        read = [file for part in PARTS if part in parts for file in parts[part].files or tables or _stored(sets[part])]
        kind = "pictures" if pictures else "texts"
        layout = f"{kind} of {column}, parts {', '.join(parts)}"
        return Raw(
            self.path, classes, with_test(parts), tuple(dict.fromkeys(read)),
            kind=kind, flip=pictures,
            test_fraction=self.test_fraction, layout=layout, ignored=ignored,
        )  # fmt: skip

    def _load(self, library: Any, places: Places) -> tuple[Mapping[str, Any], list[Path]]:
        """Splits by name, and the files of this machine that they are read from."""
        here, exists = Path(self.path).expanduser(), os.path.exists(os.path.expanduser(self.path))
        wanted: Sets = {"path": self.path, "name": self.subset}
        by_split: dict[str, list[Path]] = {}
        if exists:
            builder, by_split = _local(here)
            wanted = {"path": builder, "data_files": {split: _literal(files) for split, files in by_split.items()}}
        elif not HUB_NAME.fullmatch(self.path) or here.suffix in TABLES:
            raise DataError(Fault(f"{places.word}.path", "no such file or folder", self.path))
        try:
            found = library.load_dataset(**wanted, cache_dir=str(places.cache / "data" / "hf"))
        except Exception as error:  # the library raises errors of many types
            raise DataError(_failed(self.path, places.word, error, exists)) from None
        return found, [file for files in by_split.values() for file in files]

    def _column(self, library: Any, features: Mapping[str, Any]) -> str:
        pictures = [name for name, kind in features.items() if isinstance(kind, library.Image)]
        column = self.input or (pictures[0] if len(pictures) == 1 else "text")
        if column not in features:
            text = f"no column {column}; columns: {', '.join(features)}"
            raise DataError(Fault(self.path, text, nearest=nearest(column, list(features)), do="data.input=COLUMN"))
        if column not in pictures and getattr(features[column], "dtype", "") not in ("string", "large_string"):
            raise bad_file(self.path, f"column {column} holds neither pictures nor texts; data.input names another")
        return column

    def _labels(self, library: Any, sets: Sets) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        features = sets["train"].features
        if self.label not in features:
            text = f"no column {self.label}; columns: {', '.join(features)}"
            raise DataError(Fault(self.path, text, nearest=nearest(self.label, list(features)), do="data.label=COLUMN"))
        found = {part: np.array(list(rows[self.label])) for part, rows in sets.items()}
        for part, values in found.items():
            if values.dtype.kind not in "uifU" or values.ndim != 1:
                raise bad_file(self.path, f"{part}: column {self.label} wants a word or a whole number a row")
        kind = features[self.label]
        if not isinstance(kind, library.ClassLabel):
            return numbered_classes(Path(self.path), found)
        for part, values in found.items():
            if bad := np.flatnonzero(values < 0).tolist():  # the library marks a hidden label so
                raise bad_file(self.path, f"{part} row {bad[0] + 1}: no label; {len(bad):,} in all")
        return tuple(kind.names), {part: values.astype(np.int64) for part, values in found.items()}


def _library(word: str) -> Any:
    library = extra("datasets", "hf", word, "hf")
    library.disable_progress_bars()
    library.logging.set_verbosity(library.logging.CRITICAL)
    return library


def _local(path: Path) -> tuple[str, dict[str, list[Path]]]:
    """The library's reader for a file or folder, and split -> files. All files are listed here, so that nothing in a
    folder can point to others."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES and file != path]
    if pictures:
        return "imagefolder", _by_split(pictures, path)
    for suffix, builder in TABLES.items():
        if tables := [file for file in files if file.suffix.lower() == suffix]:
            return builder, _by_split(tables, path)
    raise DataError(Fault(str(path), "no .parquet, .csv or pictures there"))


def _by_split(files: list[Path], root: Path) -> dict[str, list[Path]]:
    """Split -> its files, by the first word of the file or folder name, as in train-00000-of-00002.parquet."""
    found: dict[str, list[Path]] = {}
    for file in files:
        names = (file.name,) if file == root else file.relative_to(root).parts
        words = [re.split(r"[^a-z]", name.lower())[0] for name in names]
        found.setdefault(next((SPLITS[word] for word in words if word in SPLITS), "train"), []).append(file)
    return found


def _literal(files: list[Path]) -> list[str]:
    """Names escaped so that the library sees no pattern in them."""
    return [glob.escape(str(file.absolute())) for file in files]


def _parts(path: str, sets: Mapping[str, Any]) -> tuple[Sets, tuple[str, ...]]:
    """part -> rows, and the splits that are not used. DataError without train."""
    found = {SPLITS[name]: rows for name, rows in sets.items() if name in SPLITS}
    if "train" not in found:
        raise bad_file(path, f"no split train; splits: {', '.join(map(str, sets))}")
    return found, tuple(str(name) for name in sets if name not in SPLITS)


def _files(pictures: Iterable[Any], cache: Path, homes: Sequence[Path], name: Callable[[int], str]) -> Iterator[Path]:
    """One file for each picture. Pictures inside a table are written to <cache>/hf once, named by their content;
    pictures that a table only names must lie in one of `homes`."""
    for row, picture in enumerate(pictures):
        data, place = (picture or {}).get("bytes"), (picture or {}).get("path")
        if data:
            digest = sha256(data).hexdigest()
            path = cache / "hf" / digest[:2] / digest
            if not path.is_file():
                put(path, lambda tmp, data=data: tmp.write_bytes(data))  # type: ignore[misc]
            yield path
        elif place and any(Path(os.path.normpath(place)).is_relative_to(home) for home in homes):
            yield Path(place)
        else:
            raise bad_file(name(row), f"names a picture outside the data: {place}" if place else "no picture")


def _text(name: str, text: str | None) -> str:
    if text is None or not text.strip():
        raise bad_file(name, "no text")
    return text


def _stored(rows: Any) -> list[Path]:
    """The library's own files of a split that came from the hub."""
    return [Path(entry["filename"]) for entry in rows.cache_files]


def _failed(path: str, word: str, error: Exception, here: bool) -> Fault:
    told = " ".join(str(error).split())[:200]
    if here:
        return Fault(path, f"not readable by the datasets library: {told}")
    if forbidden():
        return Fault(f"{word}.path", "a name on the hub, and the network is off (--offline or TRANSFER_OFFLINE)", path)
    return Fault(f"{word}.path", f"not here, and the hub does not give it: {told}", path)
