"""Schemas of results.json, sweep.json, plan.json and env.json, in plain Python. They check that every entry that a
reader relies on has its type, that numbers are finite, and that names are printable. Readers of a valid document need
no further checks.

Each `fault_in_...` returns a short text that says what is wrong; an empty text means that the document is valid."""

from typing import Any

from transfer_cli.rundir.checks import (
    Check,
    Json,
    Where,
    Wrong,
    branch,
    identifier,
    mapping,
    number,
    numbers,
    optional,
    pair,
    positive,
    printable,
    record,
    require,
    sequence,
    state,
    text,
    tree,
    truth,
    whole,
)

REQUIRED = ("id", "status", "words", "choices", "config", "stages", "metrics", "headline", "cost")

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
    require(isinstance(value, dict), where, "not an object")
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


RESULTS = record(
    COMMON
    | {
        "sweep": optional(identifier),
        "choices": mapping(text),
        "config": branch,
        "stages": sequence(STAGE),
        "metrics": mapping(numbers, key=printable),
        "measures": measures,
        "intervals": mapping(mapping(pair), key=printable),
        "headline": optional(HEADLINE),
        "cost": mapping(optional(positive)),
        "fingerprints": branch,
        "notes": sequence(text),
        "versions": mapping(text),
        "identity": branch,
        "judge": optional(printable),
        "views": sequence(VIEW),
        "domains": optional(record({"before": WHEN, "after": WHEN}, ("before", "after"))),
        "fault": optional(text),
    },
    REQUIRED,
)
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


def fault_in_results(document: Json) -> str:
    """What is wrong with a results.json. Its headline must be one of its metrics, and its seed a whole number."""
    return _fault(RESULTS, document) or _fault(_agrees, document)


def _agrees(document: Json, where: Where) -> None:
    whole(document["config"].get("seed", 0), ("seed", ("config", ())))
    head = document["headline"]
    known = document["metrics"].get(head["rule"], {}) if head else {}
    require(not head or head["name"] in known, ("headline", ()), "not among the metrics")
    require(not head or bool(document["stages"]), ("stages", ()), "none, and the run has a headline")


def fault_in_sweep(document: Json) -> str:
    """What is wrong with a sweep.json."""
    return _fault(SWEEP, document) or _fault(tree, document)


def fault_in_plan(document: Json) -> str:
    """What is wrong with a plan.json."""
    return _fault(PLAN, document)


def fault_in_env(document: Json) -> str:
    """What is wrong with an env.json."""
    return _fault(ENV, document)
