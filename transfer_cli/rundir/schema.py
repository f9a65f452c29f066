"""Schemas of results.json, sweep.json, plan.json and env.json, in plain Python. They check that every entry that a
reader relies on has its type, that numbers are finite, and that names are printable. Readers of a valid document need
no further checks.

Each `fault_in_...` returns a short text that says what is wrong; an empty text means that the document is valid."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

Json = Any
Where = tuple[Any, ...]  # ("entry", (... where that is)): joined only for a message
Check = Callable[[Json, Where], None]
DEEPEST = 24  # the most levels of a document
NUMBERS = (int, float)
FEW_BRACKETS = 300  # so many levels are no danger
HUGE = re.compile(rb"[0-9]{18}|[eE][+]?[0-9]{3}")  # digits of a number that a float or LARGEST may not hold
LARGEST = 1 << 62  # whole numbers must be smaller
STATES = ("running", "done", "failed", "interrupted", "died", "waiting", "to do")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
REQUIRED = ("id", "status", "words", "choices", "config", "stages", "metrics", "headline", "cost")


class Wrong(Exception):
    """An entry is not valid; the text is `where: what is wrong`."""


def _require(fits: bool, where: Where, text: str) -> None:
    if not fits:
        raise _wrong(where, text)


def _wrong(where: Where, text: str) -> Wrong:
    names = []
    while where:
        name, where = where
        names.append(name)
    return Wrong(f"{'.'.join(reversed(names))[:60]}: {text}")


def text(value: Json, where: Where) -> None:
    _require(isinstance(value, str), where, "not a text")


def printable(value: Json, where: Where) -> None:
    """Text that names something: no control characters."""
    _require(isinstance(value, str) and value.isprintable(), where, "not a printable text")


def identifier(value: Json, where: Where) -> None:
    _require(isinstance(value, str) and NAME.fullmatch(value) is not None, where, "not a name")


def number(value: Json, where: Where) -> None:
    """A finite number within the range of a float."""
    kind = type(value)
    if not ((kind is float and isfinite(value)) or (kind is int and -LARGEST < value < LARGEST)):
        raise _wrong(where, "not a number")


def whole(value: Json, where: Where) -> None:
    _require(type(value) is int and -LARGEST < value < LARGEST, where, "not a whole number")


def positive(value: Json, where: Where) -> None:
    number(value, where)
    _require(value >= 0, where, "a negative number")


def truth(value: Json, where: Where) -> None:
    _require(isinstance(value, bool), where, "neither true nor false")


def state(value: Json, where: Where) -> None:
    _require(value in STATES if isinstance(value, str) else False, where, "no such state")


def optional(check: Check) -> Check:
    """The entry may be null."""

    def checked(value: Json, where: Where) -> None:
        if value is not None:
            check(value, where)

    return checked


def numbers(value: Json, where: Where) -> None:
    """An object of finite numbers."""
    _require(isinstance(value, dict), where, "not an object")
    for item in value.values():
        if type(item) is not float or not isfinite(item):
            number(item, where)


def mapping(check: Check, *, key: Check | None = None) -> Check:
    def checked(value: Json, where: Where) -> None:
        _require(isinstance(value, dict), where, "not an object")
        for name, item in value.items():
            if key is not None:
                key(name, where)
            check(item, where)

    return checked


def sequence(check: Check) -> Check:
    def checked(value: Json, where: Where) -> None:
        _require(isinstance(value, list), where, "not a list")
        for item in value:
            check(item, where)

    return checked


def record(entries: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object that has all `required` entries and whose known `entries` pass their checks. Other entries may be
    anything."""

    def checked(value: Json, where: Where) -> None:
        _require(isinstance(value, dict), where, "not an object")
        for name in required:
            _require(name in value, (name, where), "missing")
        for name, check in entries.items():
            if name in value:
                check(value[name], (name, where))

    return checked


def tree(value: Json, where: Where, depth: int = 0) -> None:
    """Any JSON value that is not nested too deep and whose numbers are finite."""
    _require(depth < DEEPEST, where, "nested too deep")
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
    _require(isinstance(value, dict), where, "not an object")
    tree(value, where)


def an_object(value: Json, where: Where) -> None:
    _require(isinstance(value, dict), where, "not an object")


def pair(value: Json, where: Where) -> None:
    sequence(number)(value, where)
    _require(len(value) == 2, where, "not two numbers")


MEASURE = record(
    {
        "unit": printable,
        "label": printable,
        "lower_is_better": truth,
        "primary": truth,
        "watched": truth,
        "shown": truth,
        "perfect": optional(number),
    }
)
_VALID_MEASURES: set[tuple[Any, ...]] = set()


def measures(value: Json, where: Where) -> None:
    """Measures by metric. Most runs have the same ones, so each is checked once."""
    _require(isinstance(value, dict), where, "not an object")
    for item in value.values():
        key = tuple(item.items()) if type(item) is dict else ()
        try:
            if key in _VALID_MEASURES:
                continue
        except TypeError:  # a value that is a list or an object: the check says which
            key = ()
        MEASURE(item, where)
        if key:
            _VALID_MEASURES.add(key)


HEADLINE = record(
    {"name": printable, "rule": printable, "value": number, "ci95": optional(number), "n": optional(whole)}
    | {"over": printable},
    ("name", "rule", "value"),
)
STAGE = record(
    {
        "name": printable,
        "method": text,
        "what": text,
        "key": optional(printable),
        "rule": optional(printable),
        "state": printable,
    }
    | {"cached": truth, "seconds": positive, "bytes": positive},
    ("name", "key"),
)
VIEW = record(
    {"net": printable, "view": printable, "task": printable, "metric": printable, "value": number}
    | {"lo": optional(number), "hi": optional(number), "n": optional(whole)},
    ("net", "view", "metric", "value"),
)
WHEN = record({"domain_accuracy": number, "a_distance": number}, ("domain_accuracy", "a_distance"))
COMMON: dict[str, Check] = {
    "id": identifier,
    "name": printable,
    "status": state,
    "code": optional(whole),
    "started": printable,
    "ended": optional(printable),
    "digest": printable,
    "words": sequence(text),
}


def _results(tree_like: Check) -> Check:
    """The schema of results.json; `tree_like` checks the parts that may hold anything."""
    return record(COMMON | _entries(tree_like), REQUIRED)


def _entries(tree_like: Check) -> dict[str, Check]:
    return {
        "sweep": optional(identifier),
        "choices": mapping(text),
        "config": tree_like,
        "stages": sequence(STAGE),
        "metrics": mapping(numbers, key=printable),
        "measures": measures,
        "intervals": mapping(mapping(pair), key=printable),
        "headline": optional(HEADLINE),
        "cost": mapping(optional(positive)),
        "fingerprints": tree_like,
        "notes": sequence(text),
        "versions": mapping(text),
        "identity": tree_like,
        "judge": optional(printable),
        "views": sequence(VIEW),
        "domains": optional(record({"before": WHEN, "after": WHEN}, ("before", "after"))),
        "fault": optional(text),
    }


RESULTS, PLAIN_RESULTS = _results(branch), _results(an_object)
ROW = record(
    {
        "words": sequence(text),
        "path": optional(printable),
        "id": optional(identifier),
        "state": state,
        "code": optional(whole),
        "fault": optional(text),
        "headline": optional(HEADLINE),
        "measure": optional(MEASURE),
        "params": branch,
    },
    ("words", "path", "state", "code"),
)
SWEEP = record(
    COMMON
    | {
        "runs": sequence(ROW),
        "search": optional(record({"runs": whole, "metric": printable}, ("runs", "metric"))),
        "advise": optional(
            record(
                {"candidates": sequence(sequence(text)), "budget": optional(positive), "order": sequence(whole)},
                ("candidates", "budget"),
            )
        ),
    },
    ("status", "runs", "words"),
)
PLAN = sequence(record({"stage": printable, "key": optional(printable), "spec": branch}, ("stage", "spec")))
ENV = record({"environment": mapping(text), "commit": optional(printable), "platform": optional(printable)})


def _fault(check: Check, value: Json) -> str:
    try:
        check(value, ())
    except Wrong as wrong:
        return str(wrong)
    return ""


def fault_in_results(document: Json, plain: bool = False) -> str:
    """What is wrong with a results.json. Its headline must be one of its metrics, and its seed a whole number. `plain`:
    its text was seen to hold no huge number and no deep nesting (`is_plain`), which saves a walk through all of it."""
    return _fault(PLAIN_RESULTS if plain else RESULTS, document) or _fault(_agrees, document)


def is_plain(data: bytes) -> bool:
    """Whether the text of a document can hold no number that is too large, and nothing that is nested too deep."""
    return data.count(b"{") + data.count(b"[") < FEW_BRACKETS and HUGE.search(data) is None


def _agrees(document: Json, where: Where) -> None:
    whole(document["config"].get("seed", 0), ("seed", ("config", ())))
    head = document["headline"]
    known = document["metrics"].get(head["rule"], {}) if head else {}
    _require(not head or head["name"] in known, ("headline", ()), "not among the metrics")
    _require(not head or bool(document["stages"]), ("stages", ()), "none, and the run has a headline")


def fault_in_sweep(document: Json, plain: bool = False) -> str:
    """What is wrong with a sweep.json; `plain` as for results.json."""
    return _fault(SWEEP, document) or ("" if plain else _fault(tree, document))


def fault_in_plan(document: Json) -> str:
    """What is wrong with a plan.json."""
    return _fault(PLAN, document)


def fault_in_env(document: Json) -> str:
    """What is wrong with an env.json."""
    return _fault(ENV, document)
