"""Loads classes by file name: `methods/linear_probe.py` contains `LinearProbe`, in this package or in a plugin package.
Standard library only. config/ decides which packages `plugins` may name."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault


def camel(stem: str) -> str:
    """The class name that belongs to a file stem.

    >>> camel("linear_probe"), camel("cifar_resnet")
    ('LinearProbe', 'CifarResnet')"""
    return "".join(part.title() for part in stem.split("_"))


def load_class(folder: str, stem: str, plugins: Sequence[str] = ()) -> type[Any]:
    """The class of <folder>/<stem>.py in this package, else in a plugin package (in that folder or at its top level).
    A stem must be an identifier, so it cannot leave the folder. Raises ConfigError if the file or class is missing."""
    dotted = folder.replace("/", ".")
    places = [f"transfer_cli.{dotted}", *(f"{name}{sub}" for name in plugins for sub in (f".{dotted}", ""))]
    for place in places if stem.isidentifier() else []:
        module = _module(f"{place}.{stem}")
        if module is not None and isinstance(cls := getattr(module, camel(stem), None), type):
            return cls
    raise ConfigError(Fault(f"{folder}/{stem}.py", "no such file or class, here or in a plugin"))


def _module(name: str) -> Any:
    """The module, or None if there is no module of that name. Errors raised by its import are passed on."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None


def stems(folder: str, plugins: Sequence[str] = ()) -> list[str]:
    """Stems of the Python files of a folder, first of this package, then of each plugin package. Files whose names
    start with _ are helpers and are omitted."""
    names: dict[str, None] = {}
    for package in ("transfer_cli", *plugins):
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            names |= dict.fromkeys(sorted(path.stem for path in Path(location, folder).glob("[!_]*.py")))
    return list(names)
