"""Nets of timm by name: which there are, what pictures they want, where their weights are published. Read from the
syntax trees of the installed package, because importing it costs seconds and torch. Nothing of it is executed."""

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
DEFAULTS: dict[str, Any] = {"interpolation": "bicubic", "crop_pct": 0.875}  # timm's own, where a net says nothing
DEFAULTS |= {"input_size": (3, 224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
OPERATIONS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}
Names = Mapping[str, Any]  # what a name stands for: a value, or an expression not yet looked at


class Published(NamedTuple):
    """What timm says of a net: how pictures reach it, and its repository on the Hugging Face hub, if it has one."""

    input: dict[str, Any]
    repository: str | None


def names() -> tuple[str, ...]:
    """Every net of the installed timm, sorted; none where it is not installed."""
    return tuple(sorted(_homes()))


def published(name: str) -> Published:
    """Of a net of `names()`, also with the tag of one of its weights (`resnet18.a1_in1k`). Raises KeyError for
    others, and for the few of which timm says it in code."""
    stem, _, tag = name.partition(".")
    found = {key: entry for key, entry in _entries(_homes()[stem]).items() if key.partition(".")[0] == stem}
    return _published(stem, tag, found)


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
    """A model's `input` from a pretrained_cfg of timm. Whatever its crop mode, the centre is cut."""
    values = DEFAULTS | {key: value for key, value in entry.items() if value is not None}
    channels, crop = values["input_size"][0], values["input_size"][-1]
    size = max(crop, math.floor(crop / values["crop_pct"]))
    numbers = {"mean": list(values["mean"]), "std": list(values["std"])}
    return {"channels": channels, "size": size, "crop": crop, **numbers, "interpolation": values["interpolation"]}


def _default(tagged: Mapping[str, dict[str, Any]]) -> str:
    """The weights that a name without a tag means: timm's rule, generate_default_cfgs."""
    order: list[str] = []
    chosen = weighty = False
    for tag, entry in tagged.items():
        has = any(entry.get(key) for key in ("url", "file", "hf_hub_id"))
        first = (has and not tag) or (tag.endswith("*") and not chosen)
        order.insert(0 if first or (has and not weighty) else len(order), tag)
        chosen, weighty = chosen or first, weighty or has
    return order[0].strip("*")


@cache
def _homes() -> dict[str, Path]:
    """The file of each net."""
    folder = _folder()
    files = sorted((folder / "models").glob("*.py")) if folder else []
    return {name: file for file in files for name in BUILDER.findall(file.read_text(encoding="utf-8"))}


@cache
def _folder() -> Path | None:
    spec = importlib.util.find_spec("timm")
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def _constants() -> Names:
    """Means and standard deviations that the nets' files import."""
    folder = _folder()
    return _assigned(ast.parse((folder / "data" / "constants.py").read_text(encoding="utf-8"))) if folder else {}


def _assigned(tree: ast.Module) -> dict[str, Any]:
    """Expressions and functions by name, of a module's top level."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            # `default_cfgs = generate_default_cfgs(default_cfgs)`: the dict is the one before
            rewraps = isinstance(node.value, ast.Call) and node.value.args and isinstance(node.value.args[0], ast.Name)
            if not (rewraps and node.targets[0].id in found):
                found[node.targets[0].id] = node.value
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
    return found


@cache
def _entries(file: Path) -> dict[str, dict[str, Any]]:
    """`default_cfgs` of a file: key -> what of it is wanted."""
    known = {**_constants(), **_assigned(ast.parse(file.read_text(encoding="utf-8")))}
    table = known.get("default_cfgs")
    if isinstance(table, ast.Call):
        table = table.args[0]
    if not isinstance(table, ast.Dict):
        return {}
    pairs = [(str(key.value), value) for key, value in zip(table.keys, table.values) if isinstance(key, ast.Constant)]
    return {key: {name: x for name, x in _value(value, known).items() if name in WANTED} for key, value in pairs}


def _value(node: Any, known: Names) -> Any:
    """The value of an expression made of literals, names, sums, dicts and functions that return one. What else there
    is has no value, None."""
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
    """Pairs of a dict; those without a key are `**other`."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        made |= {key: _value(value, known)} if key is not None else (_value(value, known) or {})
    return made


def _returned(function: ast.FunctionDef, args: list[Any], given: dict[str, Any], known: Names) -> Any:
    """What a function returns, if it is a lone return of an expression of its arguments."""
    named = [arg.arg for arg in function.args.args]
    defaults = dict(zip(reversed(named), (_value(x, known) for x in reversed(function.args.defaults)), strict=False))
    bound = defaults | dict(zip(named, args, strict=False)) | {key: x for key, x in given.items() if key in named}
    if function.args.kwarg:
        bound[function.args.kwarg.arg] = {key: x for key, x in given.items() if key not in named}
    answer = next((node for node in function.body if isinstance(node, ast.Return)), None)
    return _value(answer.value, {**known, **bound}) if answer else None
