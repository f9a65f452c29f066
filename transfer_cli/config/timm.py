"""The nets of timm: their names, their input, and the repositories of their weights. Read from the syntax trees of the
installed package, because importing it takes seconds and imports torch. No code of timm is executed."""

import ast
import importlib.util
import math
import operator
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

BUILDER = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)
WANTED = ("url", "file", "hf_hub_id", "input_size", "interpolation", "crop_pct", "mean", "std")
DEFAULTS: dict[str, Any] = {"interpolation": "bicubic", "crop_pct": 0.875}  # timm's defaults
DEFAULTS |= {"input_size": (3, 224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
OPERATIONS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}
Names = Mapping[str, Any]  # name -> its value, or an expression that is not evaluated yet


class Published(NamedTuple):
    """What timm publishes for a net: the `input` of the model, and its repository on the Hugging Face hub, if any."""

    input: dict[str, Any]
    repository: str | None


def names() -> tuple[str, ...]:
    """The names of all nets of the installed timm, sorted; empty if timm is not installed."""
    return tuple(sorted(_homes()))


def published(name: str) -> Published:
    """What timm publishes for a net of `names()`, with or without the tag of its weights (`resnet18.a1_in1k`). Raises
    KeyError for an unknown net, and for the few nets whose input timm computes in code."""
    stem, _, tag = name.partition(".")
    entries = {key: entry for key, entry in _entries(_homes()[stem]).items() if key.partition(".")[0] == stem}
    return _published(stem, tag, entries)


def _published(stem: str, tag: str, entries: dict[str, dict[str, Any]]) -> Published:
    tagged = {key.partition(".")[2]: entry for key, entry in entries.items()}
    tag = tag or (_default(tagged) if tagged else "")
    entry = next((entry for known, entry in tagged.items() if known.strip("*") == tag), None)
    if entry is None:
        raise KeyError(f"{stem}.{tag}")
    where = entry.get("hf_hub_id")
    full = f"timm/{stem}.{tag}" if tag else f"timm/{stem}"
    return Published(input_of(entry), full if where == "timm/" else where)


def input_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The `input` of a model from a pretrained_cfg of timm. All crop modes become a centre crop."""
    values = DEFAULTS | {key: value for key, value in entry.items() if value is not None}
    channels, crop = values["input_size"][0], values["input_size"][-1]
    size = max(crop, math.floor(crop / values["crop_pct"]))
    numbers = {"mean": list(values["mean"]), "std": list(values["std"])}
    return {"channels": channels, "size": size, "crop": crop, **numbers, "interpolation": values["interpolation"]}


def _default(tagged: Mapping[str, dict[str, Any]]) -> str:
    """The tag of the weights for a name without a tag, by the rule of timm's generate_default_cfgs."""
    order: list[str] = []
    chosen = any_weights = False
    for tag, entry in tagged.items():
        has_weights = any(entry.get(key) for key in ("url", "file", "hf_hub_id"))
        first = (has_weights and not tag) or (tag.endswith("*") and not chosen)
        order.insert(0 if first or (has_weights and not any_weights) else len(order), tag)
        chosen, any_weights = chosen or first, any_weights or has_weights
    return order[0].strip("*")


@cache
def _homes() -> dict[str, Path]:
    """The file that defines each net."""
    folder = _folder()
    files = sorted((folder / "models").glob("*.py")) if folder else []
    return {name: file for file in files for name in BUILDER.findall(file.read_text(encoding="utf-8"))}


@cache
def _folder() -> Path | None:
    spec = importlib.util.find_spec("timm")
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def _constants() -> Names:
    """The constants (means and standard deviations) that the files of the nets import."""
    folder = _folder()
    return _assigned(ast.parse((folder / "data" / "constants.py").read_text(encoding="utf-8"))) if folder else {}


def _assigned(tree: ast.Module) -> dict[str, Any]:
    """The expressions and functions at the top level of a module, by name."""
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            # after `default_cfgs = generate_default_cfgs(default_cfgs)` keep the dict that was assigned first
            rewraps = isinstance(node.value, ast.Call) and node.value.args and isinstance(node.value.args[0], ast.Name)
            if not (rewraps and node.targets[0].id in names):
                names[node.targets[0].id] = node.value
        if isinstance(node, ast.FunctionDef):
            names[node.name] = node
    return names


@cache
def _entries(file: Path) -> dict[str, dict[str, Any]]:
    """The entries of `default_cfgs` in a file, reduced to the keys in WANTED."""
    known = {**_constants(), **_assigned(ast.parse(file.read_text(encoding="utf-8")))}
    table = known.get("default_cfgs")
    if isinstance(table, ast.Call):
        table = table.args[0]
    if not isinstance(table, ast.Dict):
        return {}
    pairs = [(str(key.value), value) for key, value in zip(table.keys, table.values) if isinstance(key, ast.Constant)]
    return {key: {name: x for name, x in _value(value, known).items() if name in WANTED} for key, value in pairs}


def _value(node: Any, known: Names) -> Any:
    """The value of an expression of literals, names, arithmetic, dicts, and calls of functions that return such an
    expression; None for any other expression."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_value(item, known) for item in items)
        case ast.Name(id=name):
            return _value(known.get(name), known) if isinstance(known.get(name), ast.AST) else known.get(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
            return OPERATIONS[type(op)](_value(left, known), _value(right, known))
        case ast.Dict(keys=keys, values=values):
            named = [str(key.value) if isinstance(key, ast.Constant) else None for key in keys]
            return _merged(list(zip(named, values, strict=True)), known)
        case ast.Call(func=ast.Name(id="dict"), args=args, keywords=pairs):
            return _merged([*((None, arg) for arg in args), *((pair.arg, pair.value) for pair in pairs)], known)
        case ast.Call(func=ast.Name(id="tuple"), args=[inner]):
            return _value(inner, known)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=pairs) if isinstance(
            known.get(name), ast.FunctionDef
        ):
            given = _merged([(pair.arg, pair.value) for pair in pairs], known)
            return _returned(known[name], [_value(arg, known) for arg in args], given, known)
    return None


def _merged(pairs: list[tuple[str | None, ast.expr]], known: Names) -> dict[str, Any]:
    """The dict of these pairs; a pair without a key stands for `**other`."""
    merged: dict[str, Any] = {}
    for key, value in pairs:
        merged |= {key: _value(value, known)} if key is not None else (_value(value, known) or {})
    return merged


def _returned(function: ast.FunctionDef, args: list[Any], given: dict[str, Any], known: Names) -> Any:
    """The return value of a function whose first return statement is an expression of its arguments; otherwise None."""
    named = [arg.arg for arg in function.args.args]
    defaults = dict(zip(reversed(named), (_value(x, known) for x in reversed(function.args.defaults)), strict=False))
    bound = defaults | dict(zip(named, args, strict=False)) | {key: x for key, x in given.items() if key in named}
    if function.args.kwarg:
        bound[function.args.kwarg.arg] = {key: x for key, x in given.items() if key not in named}
    answer = next((node for node in function.body if isinstance(node, ast.Return)), None)
    return _value(answer.value, {**known, **bound}) if answer else None
