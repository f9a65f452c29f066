"""Settings of a class = keyword-only parameters of its `__init__`, or fields of a keyword-only dataclass.
Owns how a name (`linear_probe`) becomes a file and a class (`methods/linear_probe.py`, `LinearProbe`), in our package
and in the packages of `plugins`. Files are parsed, never imported: a typo costs no import of torch."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfer_cli.config.syntax import Param as Param
from transfer_cli.config.syntax import last_name, literal, read_param
from transfer_cli.errors import ConfigError, Fault, nearest

PACKAGE = Path(__file__).parents[1]
FOLDERS = {"method": "methods", "data": "data", "model": "models", "predictor": "predictors"}
STREAM = {"labelled": True, "views": ["train"], "part": "train", "optional": False}  # defaults of contracts.Stream


@dataclass(frozen=True)
class Signature:
    """What a class takes and says of itself. `streams` {name: {labelled, views, part, optional}}; `steps`, `coupled` as in
    contracts.Method; `flags` are its other literal class attributes; `doc` the first line of its docstring."""

    path: Path
    name: str
    params: dict[str, Param]
    doc: str = ""
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: bool = True
    coupled: bool = False
    flags: dict[str, Any] = field(default_factory=dict)


def camel(stem: str) -> str:
    """Class name of a file stem.

    >>> camel("linear_probe"), camel("cifar_resnet")
    ('LinearProbe', 'CifarResnet')"""
    return "".join(part.title() for part in stem.split("_"))


def package_dir(name: str) -> Path:
    """Folder of an installed package, without importing it. Raises ConfigError if there is none."""
    top, *rest = name.split(".")
    spec = find_spec(top) if name.replace(".", "_").isidentifier() else None
    for place in (spec and spec.submodule_search_locations) or ():
        if Path(place, *rest).is_dir():
            return Path(place, *rest)
    raise ConfigError(Fault("plugins", "no such package is installed", name, do="pip install it, or mend the name"))


def signature(group: str, stem: str, plugins: Sequence[str] = ()) -> Signature:
    """Settings of a method, data family, model family or predictor. Raises ConfigError naming the nearest file."""
    return _signature(group, stem, tuple(plugins))


@lru_cache(maxsize=None)
def _signature(group: str, stem: str, plugins: tuple[str, ...]) -> Signature:
    folders = [PACKAGE / FOLDERS[group]]
    for place in map(package_dir, plugins):
        folders += [place / FOLDERS[group], place]
    # a name is an identifier, so it cannot leave its folder
    for path in [folder / f"{stem}.py" for folder in folders if stem.isidentifier()]:
        if path.is_file():
            return signature_of(path, camel(stem))
    stems = [p.stem for folder in folders for p in sorted(folder.glob("[!_]*.py")) if f"class {camel(p.stem)}" in p.read_text()]
    raise ConfigError(Fault(group, "no such file", stem, tuple(stems), nearest(stem, stems)))


@lru_cache(maxsize=None)
def signature_of(path: Path, class_name: str) -> Signature:
    """Settings of one class of one file. What it inherits from classes of our package or its own counts too."""
    module = _Module(path)
    node = module.find(class_name, ast.ClassDef)
    if node is None:
        raise ConfigError(Fault(path.name, f"has no class {class_name}"))
    merged: dict[str, Any] = {"params": {}, "streams": {}, "flags": {}}
    for home, part in reversed(list(_line_of_descent(module, node))):
        merged["params"] = _params(part, home) if _has_params(part) else merged["params"]
        attributes = _attributes(part)
        merged["streams"] = attributes.pop("streams", merged["streams"])
        merged["flags"] |= attributes
    flags = merged["flags"]
    doc = (ast.get_docstring(node) or "").partition("\n")[0]
    steps, coupled = bool(flags.pop("steps", True)), bool(flags.pop("coupled", False))
    return Signature(path, class_name, merged["params"], doc, merged["streams"], steps, coupled, flags)


class _Module:
    """A parsed file: finds what a name means in it, also through `from ... import` of readable packages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def find(self, name: str, kind: type[ast.AST]) -> Any:
        return self.home(name, kind)[1]

    def home(self, name: str, kind: type[ast.AST]) -> "tuple[_Module, Any]":
        for node in self.tree.body:
            match node:
                case ast.ClassDef(name=own) if own == name and kind is ast.ClassDef:
                    return self, node
                case ast.Assign(targets=[ast.Name(id=own)], value=value) if own == name and kind is ast.expr:
                    return self, value
                case ast.ImportFrom(module=str() as source, level=0) if (other := self._imported(node, name)):
                    there = _module_path(source)
                    return _Module(there).home(other, kind) if there else (self, None)
        return self, None

    @staticmethod
    def _imported(node: ast.ImportFrom, name: str) -> str | None:
        return next((alias.name for alias in node.names if (alias.asname or alias.name) == name), None)


def _module_path(name: str) -> Path | None:
    """File of a module of our package; others (torch) are not followed."""
    path = PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.startswith("transfer_cli.") and path.is_file() else None


def _line_of_descent(module: _Module, node: ast.ClassDef) -> Any:
    yield module, node
    for base in node.bases:
        home, parent = module.home(last_name(base), ast.ClassDef)
        if parent is not None:
            yield from _line_of_descent(home, parent)


def _init(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(last_name(decorator) == "dataclass" for decorator in node.decorator_list)


def _has_params(node: ast.ClassDef) -> bool:
    return _init(node) is not None or _is_dataclass(node)


def _params(node: ast.ClassDef, module: _Module) -> dict[str, Param]:
    found: dict[str, Param] = {}
    for name, annotation, default in _declared(node, module.path):
        if last_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation) != "ClassVar":
            found[name] = read_param(name, annotation, default, lambda n: module.find(n, ast.expr), module.path)
    return found


def _declared(node: ast.ClassDef, path: Path) -> list[tuple[str, ast.expr, ast.expr | None]]:
    init = _init(node)
    if init is None:
        fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
        return [(f.target.id, f.annotation, f.value) for f in fields if isinstance(f.target, ast.Name)]
    bare = [arg.arg for arg in init.args.kwonlyargs if arg.annotation is None]
    if init.args.kwarg or bare:
        wrong = f"{bare[0]} has no type" if bare else "**kwargs hides the settings"
        raise ConfigError(Fault(f"{path.name}:{init.lineno}", f"{node.name}.__init__: {wrong}"))
    pairs = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    return [(arg.arg, arg.annotation, default) for arg, default in pairs if arg.annotation is not None]


def _attributes(node: ast.ClassDef) -> dict[str, Any]:
    """Literal class attributes; `streams` as plain dicts. Fields of a dataclass are settings, not attributes."""
    found: dict[str, Any] = {}
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
                if _is_dataclass(node) and last_name(kind.value if isinstance(kind, ast.Subscript) else kind) != "ClassVar":
                    continue
            case _:
                continue
        try:
            found[name] = _streams(value) if name == "streams" else literal(value)
        except (ValueError, KeyError):
            continue  # not a literal: no business of the configuration
    return found


def _streams(node: ast.expr) -> dict[str, dict[str, Any]]:
    if not isinstance(node, ast.Dict):
        raise ValueError("streams is no dict of Stream(...)")
    return {ast.literal_eval(key): _stream(call) for key, call in zip(node.keys, node.values, strict=True) if key}


def _stream(node: ast.expr) -> dict[str, Any]:
    if not isinstance(node, ast.Call):
        raise ValueError("a stream is Stream(...)")
    given = dict(zip(STREAM, map(literal, node.args), strict=False))
    return STREAM | given | {str(key.arg): literal(key.value) for key in node.keywords}
