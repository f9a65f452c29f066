"""The settings of a class, read from its file. They are the keyword-only parameters of its `__init__`, or the fields of
a keyword-only dataclass. Defines how a name (`linear_probe`) is resolved to a file and a class
(`methods/linear_probe.py`, `LinearProbe`), in this package and in the packages of `plugins`. Files are parsed, not
imported, so that an error in a word is reported without importing torch."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfer_cli.config.classes import PACKAGE as PACKAGE
from transfer_cli.config.classes import Module, attributes_of, has_params, params_of, with_ancestors
from transfer_cli.config.syntax import Param as Param
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.plugins import camel

FOLDERS = {
    "method": "methods", "data": "data/readers", "model": "models", "predictor": "predictors", "task": "tasks",
    "scoring": "scoring", "head": "heads", "kind": "kinds", "sampler": "samplers",
}  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """The settings and the declarations of a class. `path`, `name`: its file and its name; `params`: its settings;
    `streams`: {name: {labelled, views, part, ...}}; `steps`, `coupled`, `needs`, `classes`, `extra`, `parents`: as in
    contracts.Method; `flags`: its other literal class attributes; `doc`: the first line of its docstring."""

    path: Path
    name: str
    params: dict[str, Param]
    doc: str = ""
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: bool = True
    coupled: bool = False
    needs: tuple[str, ...] = ()
    extra: str = ""
    classes: str = "same"
    parents: tuple[str, ...] = ()
    flags: dict[str, Any] = field(default_factory=dict)

    def beside(self, files: Sequence[str]) -> tuple[Path, ...]:
        """The paths of `files`, which the class names relative to a package: in its own package if they exist there,
        otherwise in this package."""
        own = [self.path.parents[1] / name for name in files]
        return tuple(path if path.is_file() else PACKAGE / name for path, name in zip(own, files, strict=True))


def package_dir(name: str) -> Path:
    """The folder of an installed package, without importing it. Raises ConfigError if there is no such package."""
    top, *rest = parts = name.split(".")
    spec = find_spec(top) if all(part.isidentifier() for part in parts) else None
    for place in (spec and spec.submodule_search_locations) or ():
        if Path(place, *rest).is_dir():
            return Path(place, *rest)
    raise ConfigError(Fault("plugins", "no such package is installed", name, do="pip install it, or correct the name"))


def signature(group: str, stem: str, plugins: Sequence[str] = ()) -> Signature:
    """The signature of the class `stem` of a group, such as method or model. Raises ConfigError with the nearest name
    if there is no such file."""
    return _signature(group, stem, tuple(plugins))


def find_signature(group: str, stem: str, plugins: Sequence[str] = ()) -> Signature | None:
    """As `signature`, but None if there is no such file."""
    path = _file(group, stem, tuple(plugins))
    return signature_of(path, camel(stem)) if path else None


@cache
def _signature(group: str, stem: str, plugins: tuple[str, ...]) -> Signature:
    if path := _file(group, stem, plugins):
        return signature_of(path, camel(stem))
    known = stems(group, plugins)
    raise ConfigError(Fault(group, "no such file", stem, tuple(known), nearest(stem, known)))


def stems(group: str, plugins: Sequence[str] = ()) -> list[str]:
    """The names of the files of a group that contain a class of the same name, built-in files first."""
    files = [path for folder in _folders(group, plugins) for path in sorted(folder.glob("[!_]*.py"))]
    return [path.stem for path in files if f"class {camel(path.stem)}" in path.read_text()]


def _file(group: str, stem: str, plugins: Sequence[str]) -> Path | None:
    # an identifier contains no path separators, so the name cannot lead out of the folder
    files = [folder / f"{stem}.py" for folder in _folders(group, plugins)] if stem.isidentifier() else []
    return next((path for path in files if path.is_file()), None)


def _folders(group: str, plugins: Sequence[str]) -> list[Path]:
    """The folders of a group: in this package, and for each plugin package the folder of the group and the package
    itself."""
    beside = [folder for place in map(package_dir, plugins) for folder in (place / FOLDERS[group], place)]
    return [PACKAGE / FOLDERS[group], *beside]


@cache
def signature_of(path: Path, class_name: str) -> Signature:
    """The signature of one class of a file, with everything that it inherits from classes of its file or of this
    package. Raises ConfigError if there is no such class, or if its settings cannot be read."""
    module = Module(path)
    node = module.find(class_name, ast.ClassDef)
    if node is None:
        raise ConfigError(Fault(path.name, f"has no class {class_name}"))
    merged: dict[str, Any] = {"params": {}, "streams": {}, "flags": {}}
    for home, part in reversed(list(with_ancestors(module, node))):
        merged["params"] = params_of(part, home) if has_params(part) else merged["params"]
        attributes = attributes_of(part)
        merged["streams"] = attributes.pop("streams", merged["streams"])
        merged["flags"] |= attributes
    flags = merged["flags"]
    doc = (ast.get_docstring(node) or "").partition("\n")[0]
    steps, coupled = bool(flags.pop("steps", True)), bool(flags.pop("coupled", False))
    needs, parents = tuple(flags.pop("needs", Signature.needs)), tuple(flags.pop("parents", ()))
    extra, classes = str(flags.pop("extra", "")), str(flags.pop("classes", "same"))
    params, streams = merged["params"], merged["streams"]
    return Signature(path, class_name, params, doc, streams, steps, coupled, needs, extra, classes, parents, flags)
