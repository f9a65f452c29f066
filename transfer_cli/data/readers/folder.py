"""Pictures in folders: one folder a class, or train/ test/ (val/) with class folders in each, or a folder a domain with
such folders in it. Nothing is written there. Folders are read in the order of their names; names that begin with a dot
are left out."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np

from transfer_cli.data.contracts import Finding, Places, Raw, RawPart, all_files, bad_file, missing, with_test
from transfer_cli.data.domains import joined_domains, selected_domains
from transfer_cli.data.formats.decode import SUFFIXES
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.ranges import Range

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# class name -> its pictures, in order
Found = dict[str, list[Path]]


class Folder:
    """A user's own folder of pictures. With train and val but no test, val is the test part; without both,
    `test_fraction` of every class is cut off. With `domain`, the sub-folders are domains; one, several or the `others`
    are read. `name` is a folder of the data folder and is used if there is no `path`."""

    def __init__(
        self,
        *,
        path: str | None,
        name: str | None = None,
        domain: str | list[str] | None = None,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.name, self.domain = path, name, domain
        self.test_fraction = test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with file names and labels; no picture is opened. DataError if there are no class folders at all, or no
        such domain; empty classes and the like are `faults`."""
        root, title = self._root(places)
        if self.domain is None:
            return self._opened(root, root, title, places.word)
        names = selected_domains(self.domain, [folder.name for folder in _folders(root)], places, title)
        return joined_domains(
            title, {name: self._opened(root, root / name, f"{title}/{name}", places.word) for name in names}
        )

    def _root(self, places: Places) -> tuple[Path, str]:
        """The folder and its title."""
        if self.path is not None:
            root = Path(self.path).expanduser()
            if not root.is_dir():
                raise DataError(Fault(places.word, "no such folder", self.path))
            return root, self.path
        if self.name is None:
            raise ConfigError(Fault(f"{places.word}.path", "has no value; wants a folder", do="data=./pictures"))
        if found := places.folder(self.name):
            return found, self.name
        raise DataError(missing(places.word, self.name, f"a folder {self.name}", 4, fetch=False))

    def _opened(self, top: Path, root: Path, title: str, word: str) -> Raw:
        """The class folders of `root`; row names are relative to `top`."""
        folders = _parts(root)
        trees = {part: _tree(folder) for part, folder in folders.items()}
        if not trees["train"]:
            raise DataError(_no_classes(root, title, word))
        classes = tuple(sorted({name for found in trees.values() for name in found}))
        parts = {part: _rows(top, found, classes) for part, found in trees.items()}
        return Raw(
            title,
            classes,
            with_test(parts),
            all_files(parts),
            layout=f"folders as classes, {_layout(folders, root)}",
            ignored=tuple(_others(root)),
            test_fraction=self.test_fraction,
            faults=tuple(_faults(folders, trees)),
        )


def _parts(root: Path) -> dict[str, Path]:
    """part -> folder, if all sub-folders are parts and one is train; else train is the root."""
    inside = _folders(root)
    named = {SPLITS[folder.name.lower()]: folder for folder in inside if folder.name.lower() in SPLITS}
    return named if "train" in named and len(named) == len(inside) else {"train": root}


def _layout(folders: Mapping[str, Path], root: Path) -> str:
    if folders["train"] == root:
        return "no train/val/test split"
    return "split by folders: " + ", ".join(folder.name for folder in folders.values())


def _folders(folder: Path) -> list[Path]:
    try:
        inside = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise bad_file(folder, (error.strerror or "unreadable").lower()) from None
    return [folder / entry.name for entry in sorted(inside, key=lambda entry: entry.name)]


def _tree(folder: Path) -> Found:
    return {inside.name: [path for path in _files(inside) if _is_picture(path)] for inside in _folders(folder)}


def _files(folder: Path) -> Iterator[Path]:
    """All files below, sorted folder by folder; links to folders are not followed, because they may form a loop."""

    def fail(error: OSError) -> None:
        raise bad_file(error.filename, (error.strerror or "unreadable").lower())

    for place, inside, names in os.walk(folder, onerror=fail):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _rows(root: Path, found: Found, classes: tuple[str, ...]) -> RawPart:
    numbers = {name: number for number, name in enumerate(classes)}
    files = tuple(path for paths in found.values() for path in paths)
    counts = [len(paths) for paths in found.values()]
    kinds = np.array([numbers[name] for name in found], np.int64)
    return RawPart(np.repeat(kinds, counts), lambda row: str(files[row].relative_to(root)), files=files)


def _faults(folders: Mapping[str, Path], trees: Mapping[str, Found]) -> Iterator[Finding]:
    for part, found in trees.items():
        for name, paths in found.items():
            if not paths:
                where = f"{folders[part] / name}/"
                yield Finding("FAIL", "empty class", name, where, "empty class, no picture in it")


def _others(root: Path) -> Iterator[str]:
    """Files that are left out: other formats, and pictures outside class folders."""
    for path in _files(root):
        if not _is_picture(path) or path.parent == root:
            yield str(path.relative_to(root))


def _no_classes(root: Path, path: str, word: str) -> Fault:
    direct = sum(_is_picture(file) for file in _files(root))
    text = f"no class folders; {direct:,} pictures lie directly in it"
    return Fault(word, text, path, do="make one folder a class, or a CSV with columns path,label")
