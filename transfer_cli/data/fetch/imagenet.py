"""Addresses and file names of torchvision's ImageNet weights. Reads them from the source code of the installed package,
because importing it takes seconds. Loads no weights."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from transfer_cli.data.fetch.download import Remote

BUILDER = re.compile(r"^def ([a-z]\w*)\(\s*\*,\s*weights:", re.MULTILINE)


@lru_cache
def remote(model: str) -> Remote | None:
    """The file of torchvision's default weights of a classifier ("resnet18"); None if there is no such model."""
    for file in sorted(_models().glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if f"def {model}(" in text:
            return _default(ast.parse(text), model)
    return None


@lru_cache
def names() -> tuple[str, ...]:
    """Names of all models in torchvision/models that take weights: the classifiers."""
    names_by_file = (BUILDER.findall(file.read_text(encoding="utf-8")) for file in sorted(_models().glob("*.py")))
    return tuple(name for names in names_by_file for name in names)


def _models() -> Path:
    spec = importlib.util.find_spec("torchvision")
    return Path(spec.origin).parent / "models" if spec and spec.origin else Path("/nonexistent")


def _default(tree: ast.Module, model: str) -> Remote | None:
    builder = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == model), None)
    names = {node.id for node in ast.walk(builder.args) if isinstance(node, ast.Name)} if builder else set()
    weights = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names]
    return _remote(weights[0]) if weights else None


def _remote(weights: ast.ClassDef) -> Remote | None:
    values = {name: value for name, value in _assigned(weights)}
    chosen = values.get("DEFAULT")
    entry = values.get(chosen.id) if isinstance(chosen, ast.Name) else None
    if entry is None:
        return None
    constants = {key: value for call in ast.walk(entry) for key, value in _constants(call)}
    url, size = str(constants["url"]), float(str(constants.get("_file_size", 100)))
    name = url.rsplit("/", 1)[1]
    return Remote(url, name.rsplit("-", 1)[1].split(".")[0], size, name)


def _assigned(weights: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for node in weights.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _constants(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Keyword arguments and dictionary entries with constant values."""
    if isinstance(node, ast.keyword) and node.arg and isinstance(node.value, ast.Constant):
        yield node.arg, node.value.value
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                yield str(key.value), value.value
