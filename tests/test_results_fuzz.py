"""Documents that were cut, changed or written by somebody else: a run whose files cannot be read is a row that says so.
No command ends with an internal error."""

import json
import math
import random
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from transfer_cli.cli.main import main
from transfer_cli.rundir.runs import summary

TINY = ("data=digits", "model=mlp", "trainer=tiny")
FILES = ("results.json", "plan.json", "env.json")
DEEP = "[" * 2000 + "]" * 2000
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**400, 2**63, -(2**70), 1.5, math.nan, math.inf, -math.inf, 1e308, "", "x", "\x1b[2J",
    "\ud800", "a\x00b", "\u202e", "..", "/etc/passwd", "done", [], {}, [None], [[]], {"": None}, {"x": {"y": []}},
)  # fmt: skip
Mutation = Callable[[random.Random, Any], bytes]


def written(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


def deleted(rng: random.Random, found: Any) -> bytes:
    container, key = rng.choice(places(found))
    del container[key]
    return written(found)


def replaced(rng: random.Random, found: Any) -> bytes:
    container, key = rng.choice(places(found))
    container[key] = rng.choice(ODD)
    return written(found)


def nested(rng: random.Random, found: Any) -> bytes:
    container, key = rng.choice(places(found))
    container[key] = rng.choice(([container[key]], {"x": container[key]}, [[[container[key]]]]))
    return written(found)


def swapped(rng: random.Random, found: Any) -> bytes:
    (one, first), (other, second) = rng.sample(places(found), 2)
    one[first], other[second] = json.loads(json.dumps(other[second])), json.loads(json.dumps(one[first]))
    return written(found)


def added(rng: random.Random, found: Any) -> bytes:
    target = rng.choice([value for value, _ in places(found) if isinstance(value, dict)] or [found])
    key = rng.choice(("x", "\x1b", "\ud800", "test/accuracy", "views", "measures", "intervals", "judge", "at_3"))
    if isinstance(target, dict):
        target[key] = rng.choice(ODD)
    return written(found)


def deepened(rng: random.Random, found: Any) -> bytes:
    container, key = rng.choice(places(found))
    container[key] = "DEEP"
    return written(found).replace(b'"DEEP"', DEEP.encode())


def cut(rng: random.Random, found: Any) -> bytes:
    data = written(found)
    return data[: rng.randrange(len(data))]


def garbled(rng: random.Random, found: Any) -> bytes:
    data = bytearray(written(found))
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


MUTATIONS: tuple[Mutation, ...] = (
    deleted, deleted, replaced, replaced, replaced, nested, swapped, added, deepened, cut, garbled
)  # fmt: skip


def called(*argv: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(argv))
    return code, out.getvalue(), err.getvalue()


class Mutant:
    """A file of a runs folder that is changed and put back."""

    def __init__(self, path: Path) -> None:
        self.path, self.original = path, path.read_bytes()

    def change(self, rng: random.Random, status: str = "") -> bytes:
        found = json.loads(self.original)
        if status and self.path.name in ("results.json", "sweep.json"):
            found["status"] = status
        data = rng.choice(MUTATIONS)(rng, found)
        if rng.random() < 0.3 and data.startswith((b"{", b"[")):
            with suppress(ValueError, RecursionError, IndexError):
                data = rng.choice(MUTATIONS)(rng, json.loads(data))
        self.path.write_bytes(data)
        return data

    def restore(self) -> None:
        self.path.write_bytes(self.original)


@pytest.fixture(scope="module")
def runs(shelf: Path) -> Path:
    """A tiny run, and a sweep of two."""
    folder = shelf / "runs"
    assert called("run", "strategy=scratch", *TINY, "--runs", str(folder), "-q")[0] == 0
    assert called("run", "strategy=scratch,knn", "weights=none", *TINY, "-m", "--runs", str(folder), "-q")[0] == 0
    return folder


def mutants(runs: Path) -> list[Mutant]:
    folders = [path.parent for path in runs.glob("scratch-*/*/results.json")]
    assert len(folders) == 2
    return [
        *(Mutant(folder / name) for folder in folders for name in FILES),
        *(Mutant(path) for path in runs.glob("sweeps/*/sweep.json")),
    ]


def fuzz(
    runs: Path, count: int, seed: int, commands: Callable[[Mutant], list[tuple[str, ...]]], status: str = ""
) -> None:
    """Each mutant through all commands; the first call that fails in a way nobody documented is shown. `status`: of
    the run or sweep, in place of `done`."""
    rng, known = random.Random(seed), mutants(runs)
    weights = [6 if mutant.path.name == "results.json" else 2 for mutant in known]
    for _ in range(count):
        mutant = rng.choices(known, weights)[0]
        data = mutant.change(rng, status)
        try:
            for argv in commands(mutant):
                code, out, err = called(*argv, "--runs", str(runs))
                assert "internal error" not in err, (argv, data[:3000], err)
                assert code in (0, 2, 4, 5, 9), (argv, code, data[:3000], err)
                if argv[0] == "list" and mutant.path.name != "sweep.json":
                    assert mutant.path.parent.name.rpartition("-")[2] in out, (argv, data[:3000], out)
        finally:
            mutant.restore()


def looks(mutant: Mutant) -> list[tuple[str, ...]]:
    """Parsing, list, show and compare."""
    assert summary(mutant.path.parent)["status"]
    ref = str(mutant.path.parent)
    if mutant.path.name == "sweep.json":
        return [("list", "sweeps"), ("show", ref), ("compare", ref), ("list", "sweeps", "--json")]
    return [("list", "--json"), ("list", "--format", "table"), ("show", ref), ("compare", "--all")]


def test_a_thousandth_of_all_damage_is_shown_and_breaks_nothing(runs: Path) -> None:
    fuzz(runs, 600, 0, looks)


@pytest.mark.slow
def test_much_damage_is_shown_and_breaks_nothing(runs: Path) -> None:
    fuzz(runs, 10_000, 1, looks)


def uses(runs: Path) -> Callable[[Mutant], list[tuple[str, ...]]]:
    """Report and predict."""
    picture = runs.parent / "picture.png"
    Image.new("L", (8, 8), 128).save(picture)

    def commands(mutant: Mutant) -> list[tuple[str, ...]]:
        ref = str(mutant.path.parent)
        page = ("report", ref, "-o", str(runs.parent / "page.html"))
        return [page, ("predict", ref, str(picture))]

    return commands


def resumed(mutant: Mutant) -> list[tuple[str, ...]]:
    """Only planned: words that lost a part of theirs may be of a long training."""
    return [("resume", str(mutant.path.parent), "--dry-run")]


def test_a_damaged_run_is_reported_asked_and_resumed_without_a_crash(runs: Path) -> None:
    fuzz(runs, 10, 2, uses(runs))
    fuzz(runs, 30, 3, resumed, "interrupted")


@pytest.mark.slow
def test_many_damaged_runs_are_reported_asked_and_resumed_without_a_crash(runs: Path) -> None:
    fuzz(runs, 300, 4, uses(runs))
    fuzz(runs, 300, 5, resumed, "interrupted")
