"""Reads annotations in a syntax tree as settings: kinds, allowed values, ranges, defaults. Imports nothing. Groups and
the locations of files are defined in signatures.py."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault

KINDS = ("int", "float", "bool", "str", "dict", "list", "tuple")
WORDS = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "any": "anything"}
WORDS |= {"dict": "settings as {key: value}", "none": "null"}


@dataclass(frozen=True)
class Param:
    """One setting. `kind`: int, float, bool, str, list, dict, literal (only `choices`) or any. `choices`: values that
    are allowed in addition to those of the kind. `low`, `high`: the range of numbers (`above`: without `low` itself).
    `optional`: null is allowed. `item`: describes the items of a list."""

    name: str
    kind: str
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    above: bool = False
    optional: bool = False
    item: "Param | None" = None

    def allowed(self) -> str:
        """The allowed values as text: `whole number >= 1 or null`."""
        parts = [] if self.kind == "literal" else [self._kind() + self._range()]
        if self.choices:
            one_of = "one of " if len(self.choices) > 1 and not parts else ""
            parts.append(one_of + ", ".join(map(str, self.choices)))
        return " or ".join(parts + ["null"] * self.optional)

    def _kind(self) -> str:
        if self.kind != "list":
            return WORDS[self.kind]
        if self.item is None or self.item.kind == "any":
            return "list"
        words = self.item.allowed()
        plural = words.replace("number", "numbers", 1) if "number" in words else words
        return f"list of {plural}" if self.item.kind != "str" else "list of names"

    def _range(self) -> str:
        low, high = (None if end is None else f"{end:g}" for end in (self.low, self.high))
        if low and high and not self.above:
            return f" {low} to {high}"
        ends = [f"{'>' if self.above else '>='} {low}" if low else "", f"<= {high}" if high else ""]
        return " ".join(["", *[", ".join(filter(None, ends))]]).rstrip()


Resolve = Callable[[str], ast.expr | None]  # a name in the file -> the expression that is assigned to it


def read_param(name: str, annotation: ast.expr, default: ast.expr | None, resolve: Resolve, path: Path) -> Param:
    """The setting that `name: annotation = default` declares. Raises ConfigError with file and line if the annotation
    or the default cannot be read."""
    try:
        param = replace(_read(annotation, resolve), name=name, required=default is None)
        return param if default is None else replace(param, default=literal(default))
    except ValueError as error:
        raise ConfigError(Fault(f"{path.name}:{annotation.lineno}", f"{name}: {error}")) from error


def literal(node: ast.expr) -> Any:
    """The value of a literal. Tuples become lists, because YAML has only lists; `field(default_factory=dict)` is {}.
    Raises ValueError if it is no literal."""
    match node:
        case ast.Call(
            func=ast.Name(id="field"), keywords=[ast.keyword(arg="default_factory", value=ast.Name(id=factory))]
        ):
            return {"dict": {}, "list": [], "tuple": []}[factory]
    value = ast.literal_eval(node)
    return list(value) if isinstance(value, tuple) else value


def _read(node: ast.expr, resolve: Resolve) -> Param:
    match node:
        case ast.Constant(value=None):
            return Param("", "none", optional=True)
        case ast.Constant(value=str() as text):
            return _read(ast.parse(text, mode="eval").body, resolve)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union(_read(left, resolve), _read(right, resolve))
        case ast.Subscript(value=outer, slice=inner):
            return _subscript(last_name(outer), inner, resolve)
    name = last_name(node)
    if name in KINDS:
        return Param("", "list" if name == "tuple" else name)
    alias = resolve(name) if isinstance(node, ast.Name) else None
    if alias is None:
        raise ValueError(f"annotation {ast.unparse(node)} is not one of {', '.join(KINDS)}, Literal, Annotated")
    return _read(alias, resolve)


def _subscript(outer: str, inner: ast.expr, resolve: Resolve) -> Param:
    items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if outer == "Literal":
        values = [ast.literal_eval(item) for item in items]
        return Param("", "literal", choices=tuple(v for v in values if v is not None), optional=None in values)
    if outer == "Annotated":
        return replace(_read(items[0], resolve), **_range(items[1]))
    if outer in ("list", "tuple", "Sequence"):
        return Param("", "list", item=_read(items[0], resolve))
    if outer == "dict":
        return Param("", "dict")
    raise ValueError(f"annotation {outer}[...] is not known")


def _range(node: ast.expr) -> dict[str, Any]:
    if not (isinstance(node, ast.Call) and last_name(node.func) == "Range"):
        raise ValueError(f"Annotated needs Range(low, high), not {ast.unparse(node)}")
    ends = dict(zip(("low", "high", "above"), map(ast.literal_eval, node.args), strict=False))
    return ends | {str(key.arg): ast.literal_eval(key.value) for key in node.keywords}


def _union(left: Param, right: Param) -> Param:
    optional = left.optional or right.optional
    if "none" in (left.kind, right.kind):
        return replace(right if left.kind == "none" else left, optional=True)
    plain, other = (right, left) if left.kind == "literal" else (left, right)
    if other.kind == "literal":
        return replace(plain, choices=left.choices + right.choices, optional=optional)
    kind = "float" if {left.kind, right.kind} == {"int", "float"} else "any"
    return Param("", kind, choices=left.choices + right.choices, optional=optional)


def last_name(node: ast.expr) -> str:
    """The `Name` in `Name`, `module.Name` and in calls of them; "" for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=func):
            return last_name(func)
    return ""
