"""Values of a configuration: type checks, access by dotted key, formatting, forbidden values."""

import math
import re
from collections.abc import Iterator
from typing import Any

from transfer_cli.config.syntax import Param
from transfer_cli.errors import Fault

Json = dict[str, Any]
GAP = "has no value"
TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def fit(param: Param, value: Any) -> Any:
    """`value` converted to the type of the parameter: a whole number becomes a float if the parameter is a float.
    Raises ValueError if the value is not allowed."""
    if value is None:
        return _require(param.optional, value)
    if any(
        value == choice and type(value) is type(choice) for choice in param.choices
    ):  # True == 1, but is not allowed for it
        return value
    match param.kind:
        case "int":
            _require(isinstance(value, int) and not isinstance(value, bool), value)
        case "float":
            _require(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value), value)
            value = float(value)
        case "list":
            _require(isinstance(value, list), value)
            return [fit(param.item, item) if param.item else _scalar(item) for item in value]
        case "literal":
            raise ValueError(value)
        case "bool" | "str" | "dict":
            _require(isinstance(value, {"bool": bool, "str": str, "dict": dict}[param.kind]), value)
    if param.kind in ("int", "float"):
        low_ok = param.low is None or (value > param.low if param.above else value >= param.low)
        _require(low_ok and (param.high is None or value <= param.high), value)
    return value


def _require(holds: bool, value: Any) -> Any:
    if not holds:
        raise ValueError(value)
    return value


def _scalar(value: Any) -> Any:
    return _require(isinstance(value, str | int | float) and not isinstance(value, bool), value)


def seconds(text: str) -> float:
    """Converts a duration such as 1h30m to seconds. Raises ValueError if it cannot be read.

    >>> seconds("1h30m"), seconds("90"), seconds("15m")
    (5400.0, 90.0, 900.0)"""
    match = TIME.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError("a time: 90s, 15m, 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)


def look(values: Json, key: str) -> Any:
    """The value at a dotted key, None if there is no such key.

    >>> look({"a": {"b": 1}}, "a.b")
    1"""
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def leaves(values: Json, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted keys and values of all leaves. Lists and empty mappings are leaves."""
    for name, value in values.items():
        key = dotted(at, str(name))
        if isinstance(value, dict) and value:
            yield from leaves(value, key)
        else:
            yield key, value


def dotted(at: str, name: str) -> str:
    """The dotted key of `name` inside the node `at`; an empty `at` is the root."""
    return f"{at}.{name}" if at else name


def plain(value: Any) -> str:
    """A value as the user would type it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(plain, value)) + "]"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def problems(values: Json, *, gaps: bool = True) -> list[Fault]:
    """Faults that no configuration may contain, whatever its keys: keys that run code (`_target_`), infinite numbers
    and NaN, and, with `gaps`, missing values (???)."""
    return [fault for fault in _problems(values, "") if gaps or fault.text != GAP]


def _problems(node: Any, at: str) -> Iterator[Fault]:
    if isinstance(node, dict):
        for name, value in node.items():
            key = dotted(at, str(name))
            if not isinstance(name, str):
                yield Fault(key, "a key is text; write it in quotes")
            elif name.startswith("_") and name.endswith("_"):
                yield Fault(key, "not allowed: settings name files (method: dann), never code to run")
            else:
                yield from _problems(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _problems(value, at)
    elif isinstance(node, float) and not math.isfinite(node):
        yield Fault(at, "no finite number", str(node))
    elif node == "???":
        yield Fault(at, GAP)
