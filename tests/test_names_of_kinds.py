"""Names of kinds, tasks and metrics are names of files: elsewhere nothing branches on them. What a kind or a
task can do, its file says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfer_cli.config.signatures import stems

PACKAGE = Path(__file__).parents[1] / "transfer_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
KINDS, TASKS = set(stems("kind")), set(stems("task"))
METRICS = {
    "accuracy", "auroc", "average_precision", "bits_per_char", "ece", "f1", "mae", "nll", "perplexity", "r2", "rmse",
}  # fmt: skip
# Where a kind may be named: `reads` of a class, `kind` of Raw, its default included.
DECLARES = ("kind", "reads")
# Rows of runs from before results.json had measures: their files say nothing of their metrics.
LEGACY = ("legacy_measures.py", "analysis/stored_scores.py")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def outside(*places: str) -> list[Path]:
    return [path for path in FILES if not name_of(path).startswith(places)]


def declared(node: ast.AST) -> Iterator[ast.AST]:
    """What stands behind `reads = ...`, `kind: str = ...` and `kind=...`."""
    if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id in DECLARES for t in node.targets):
        yield node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in DECLARES:
        yield from filter(None, [node.value])
    elif isinstance(node, ast.keyword) and node.arg in DECLARES:
        yield node.value


def constants(node: ast.AST) -> Iterator[ast.Constant]:
    yield from (part for part in ast.walk(node) if isinstance(part, ast.Constant))


def named(source: str, names: set[str]) -> list[str]:
    """Lines with a literal that is one of these names, declarations left out."""
    tree = ast.parse(source)
    allowed = {id(c) for node in ast.walk(tree) for value in declared(node) for c in constants(value)}
    return [f"{c.lineno}: {c.value}" for c in constants(tree) if c.value in names and id(c) not in allowed]


def compared(source: str, names: set[str]) -> list[str]:
    """Lines where something is compared with one of these names, alone or among others, or matched with it."""
    tests = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare | ast.MatchValue)]
    return [f"{node.lineno}: {c.value}" for node in tests for c in constants(node) if c.value in names]


def everywhere(paths: list[Path], look, names: set[str]) -> dict[str, list[str]]:
    return {name_of(path): lines for path in paths if (lines := look(path.read_text(), names))}


def test_the_names_are_known() -> None:
    assert {"pictures", "texts", "vectors"} <= KINDS
    assert {"classify", "language", "multilabel", "regress", "tag"} <= TASKS
    assert len(outside("kinds/")) > 100


def test_kinds_are_only_declared() -> None:
    assert everywhere(outside("kinds/"), named, KINDS) == {}


def test_nothing_is_compared_with_a_task() -> None:
    assert everywhere(outside("tasks/"), compared, TASKS) == {}


def test_nothing_is_compared_with_a_metric() -> None:
    assert everywhere(outside("scoring/", "metrics/", *LEGACY), compared, METRICS) == {}


@pytest.mark.parametrize(
    "line",
    [
        "x.kind == 'texts'",
        "x in ('texts', 'y')",
        "{'texts': 1}",
        "{'texts'}",
        "match x:\n case 'texts': pass",
        "f('texts')",
    ],
)
def test_a_branch_on_a_kind_is_seen(line: str) -> None:
    assert named(line, {"texts"}) == [f"{1 + line.count(chr(10))}: texts"]


@pytest.mark.parametrize("line", ["reads = ('texts',)", "kind: str = 'texts'", "Raw(kind='a' if b else 'texts')"])
def test_a_declaration_is_none(line: str) -> None:
    assert named(line, {"texts"}) == []


@pytest.mark.parametrize("line", ["raw.task != 'tag'", "x in ('tag', y)", "'tag' == x", "match x:\n case 'tag': pass"])
def test_a_comparison_with_a_task_is_seen(line: str) -> None:
    assert compared(line, {"tag"}) == [f"{1 + line.count(chr(10))}: tag"]
    assert compared("Raw(task='tag')", {"tag"}) == []
