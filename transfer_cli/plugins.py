"""Classes by the name of their file: `methods/linear_probe.py` holds `LinearProbe`, ours or of a user's package.
Standard library only. Who may name a package in `plugins` is decided by config/."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault


def camel(stem: str) -> str:
    """Class name of a file stem.

    >>> camel("linear_probe"), camel("cifar_resnet")
    ('LinearProbe', 'CifarResnet')"""
    return "".join(part.title() for part in stem.split("_"))


def load_class(folder: str, stem: str, plugins: Sequence[str] = ()) -> type[Any]:
    """The class of <folder>/<stem>.py: of our package, else of a plugin package, in its folder or directly in it.
    A stem is an identifier, so it cannot leave its folder. Raises ConfigError if there is no such file or class."""
    dotted = folder.replace("/", ".")
    places = [f"transfer_cli.{dotted}", *(f"{name}{sub}" for name in plugins for sub in (f".{dotted}", ""))]
    for place in places if stem.isidentifier() else []:
        module = _module(f"{place}.{stem}")
        if module is not None and isinstance(found := getattr(module, camel(stem), None), type):
            return found
    raise ConfigError(Fault(f"{folder}/{stem}.py", "no such file or class, here or in a plugin"))


def _module(name: str) -> Any:
    """The module, None if there is none of that name; what fails inside it is raised."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None


def stems(folder: str, plugins: Sequence[str] = ()) -> list[str]:
    """File names of a folder without ending, ours first, then each plugin package's; those that begin with _ are
    helpers."""
    found: dict[str, None] = {}
    for name in ("transfer_cli", *plugins):
        spec = importlib.util.find_spec(name)
        for place in (spec and spec.submodule_search_locations) or ():
            found |= dict.fromkeys(sorted(path.stem for path in Path(place, folder).glob("[!_]*.py")))
    return list(found)
