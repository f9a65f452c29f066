"""Checks of JSON values, from which schema.py builds the schemas of documents. A check takes a value and its place in
the document, and raises Wrong if the value is not valid."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

Json = Any
Where = tuple[Any, ...]  # ("entry", (... where that is)): joined only for a message
Check = Callable[[Json, Where], None]
DEEPEST = 24  # the most levels of a document
NUMBERS = (int, float)
LARGEST = 1 << 62  # whole numbers must be smaller
STATES = ("running", "done", "failed", "interrupted", "died", "waiting", "to do")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Wrong(Exception):
    """An entry is not valid; the text is `where: what is wrong`."""


def require(fits: bool, where: Where, text: str) -> None:
    if not fits:
        raise _wrong(where, text)


def _wrong(where: Where, text: str) -> Wrong:
    names = []
    while where:
        name, where = where
        names.append(name)
    return Wrong(f"{'.'.join(reversed(names))[:60]}: {text}")


def text(value: Json, where: Where) -> None:
    require(isinstance(value, str), where, "not a text")


def printable(value: Json, where: Where) -> None:
    """Text that names something: no control characters."""
    require(isinstance(value, str) and value.isprintable(), where, "not a printable text")


def identifier(value: Json, where: Where) -> None:
    require(isinstance(value, str) and NAME.fullmatch(value) is not None, where, "not a name")


def number(value: Json, where: Where) -> None:
    """A finite number within the range of a float."""
    kind = type(value)
    if not ((kind is float and isfinite(value)) or (kind is int and -LARGEST < value < LARGEST)):
        raise _wrong(where, "not a number")


def whole(value: Json, where: Where) -> None:
    require(type(value) is int and -LARGEST < value < LARGEST, where, "not a whole number")


def positive(value: Json, where: Where) -> None:
    number(value, where)
    require(value >= 0, where, "a negative number")


def truth(value: Json, where: Where) -> None:
    require(isinstance(value, bool), where, "neither true nor false")


def state(value: Json, where: Where) -> None:
    require(value in STATES if isinstance(value, str) else False, where, "no such state")


def optional(check: Check) -> Check:
    """The entry may be null."""

    def checked(value: Json, where: Where) -> None:
        if value is not None:
            check(value, where)

    return checked


def numbers(value: Json, where: Where) -> None:
    """An object of finite numbers."""
    require(isinstance(value, dict), where, "not an object")
    for item in value.values():
        if type(item) is not float or not isfinite(item):
            number(item, where)


def mapping(check: Check, *, key: Check | None = None) -> Check:
    def checked(value: Json, where: Where) -> None:
        require(isinstance(value, dict), where, "not an object")
        for name, item in value.items():
            if key is not None:
                key(name, where)
            check(item, where)

    return checked


def sequence(check: Check) -> Check:
    def checked(value: Json, where: Where) -> None:
        require(isinstance(value, list), where, "not a list")
        for item in value:
            check(item, where)

    return checked


def record(entries: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object that has all `required` entries and whose known `entries` pass their checks. Other entries may be
    anything."""

    def checked(value: Json, where: Where) -> None:
        require(isinstance(value, dict), where, "not an object")
        for name in required:
            require(name in value, (name, where), "missing")
        for name, check in entries.items():
            if name in value:
                check(value[name], (name, where))

    return checked


def tree(value: Json, where: Where, depth: int = 0) -> None:
    """Any JSON value that is not nested too deep and whose numbers are finite."""
    require(depth < DEEPEST, where, "nested too deep")
    if type(value) is not dict and type(value) is not list:
        if type(value) in NUMBERS:
            number(value, where)
        return
    for item in value.values() if type(value) is dict else value:
        kind = type(item)
        if kind is dict or kind is list:
            tree(item, where, depth + 1)
        elif kind in NUMBERS:
            number(item, where)


def branch(value: Json, where: Where) -> None:
    """A `tree` that is an object."""
    require(isinstance(value, dict), where, "not an object")
    tree(value, where)


def pair(value: Json, where: Where) -> None:
    sequence(number)(value, where)
    require(len(value) == 2, where, "not two numbers")
