"""Reads settings, streams and flags of classes from syntax trees, with inheritance. Follows imports of this package
only; no code is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transfer_cli.config.syntax import Param, last_name, literal, read_param
from transfer_cli.errors import ConfigError, Fault

PACKAGE = Path(__file__).parents[1]
# defaults of contracts.Stream
STREAM = {"labelled": True, "views": ["train"], "part": "train", "side": "", "optional": False, "sampler": ""}


class Module:
    """A parsed file. Finds the definition of a name in it, also through `from ... import` from this package."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def find(self, name: str, kind: type[ast.AST]) -> Any:
        """The class definition (kind ClassDef) or the assigned expression (kind expr) of a name; None if there is
        none."""
        return self.home(name, kind)[1]

    def home(self, name: str, kind: type[ast.AST]) -> "tuple[Module, Any]":
        """As `find`, with the module that contains the definition."""
        for node in self.tree.body:
            match node:
                case ast.ClassDef(name=own) if own == name and kind is ast.ClassDef:
                    return self, node
                case ast.Assign(targets=[ast.Name(id=own)], value=value) if own == name and kind is ast.expr:
                    return self, value
                case ast.ImportFrom(module=str() as source, level=0) if other := self._imported(node, name):
                    path = _module_path(source)
                    return Module(path).home(other, kind) if path else (self, None)
        return self, None

    @staticmethod
    def _imported(node: ast.ImportFrom, name: str) -> str | None:
        return next((alias.name for alias in node.names if (alias.asname or alias.name) == name), None)


def _module_path(name: str) -> Path | None:
    """The file of a module of this package; None for other modules (torch), which are not read."""
    path = PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.startswith("transfer_cli.") and path.is_file() else None


def with_ancestors(module: Module, node: ast.ClassDef) -> "Iterator[tuple[Module, ast.ClassDef]]":
    """Yields the class and its base classes, each with its module."""
    yield module, node
    for base in node.bases:
        home, parent = module.home(last_name(base), ast.ClassDef)
        if parent is not None:
            yield from with_ancestors(home, parent)


def _init(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(last_name(decorator) == "dataclass" for decorator in node.decorator_list)


def has_params(node: ast.ClassDef) -> bool:
    """Whether the class itself declares settings: it has an `__init__`, or is a dataclass."""
    return _init(node) is not None or _is_dataclass(node)


def params_of(node: ast.ClassDef, module: Module) -> dict[str, Param]:
    """The settings that the class declares, by name. Raises ConfigError for an annotation that cannot be read."""
    params: dict[str, Param] = {}
    for name, annotation, default in _declared(node, module.path):
        if last_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation) != "ClassVar":
            params[name] = read_param(name, annotation, default, lambda n: module.find(n, ast.expr), module.path)
    return params


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


def attributes_of(node: ast.ClassDef) -> dict[str, Any]:
    """The class attributes that are literals; `streams` as plain dicts. Fields of a dataclass are settings, not
    attributes."""
    attributes: dict[str, Any] = {}
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
                if (
                    _is_dataclass(node)
                    and last_name(kind.value if isinstance(kind, ast.Subscript) else kind) != "ClassVar"
                ):
                    continue
            case _:
                continue
        try:
            attributes[name] = _streams(value) if name == "streams" else literal(value)
        except (ValueError, KeyError):
            continue  # not a literal, so not relevant to the configuration
    return attributes


def _streams(node: ast.expr) -> dict[str, dict[str, Any]]:
    if not isinstance(node, ast.Dict):
        raise ValueError("streams must be a dict of Stream(...)")
    return {ast.literal_eval(key): _stream(call) for key, call in zip(node.keys, node.values, strict=True) if key}


def _stream(node: ast.expr) -> dict[str, Any]:
    if not isinstance(node, ast.Call):
        raise ValueError("a stream must be Stream(...)")
    given = dict(zip(STREAM, map(literal, node.args), strict=False))
    return STREAM | given | {str(key.arg): literal(key.value) for key in node.keywords}
