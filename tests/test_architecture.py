"""The arrows of ARCHITECTURE.md: who may import whom, what commands may load, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "transfer_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
FREE = {
    "errors",
    "extras",
    "ranges",
    "seeds",
    "safe",
    "signals",
    "plugins",
    "rules",
}  # stdlib only; anyone may import them
MAY_IMPORT = {
    **{name: set() for name in FREE},
    "contracts": set(), "losses": {"contracts"}, "metrics": {"contracts", "losses"}, "predictors": {"contracts"},
    "models": {"contracts"},
    "scores": {"contracts", "losses", "predictors"},
    "data": {"contracts", "losses", "metrics"},
    "methods": {"contracts", "losses", "models"},
    "config": set(),
    "store": set(),
    "rundir": {"store", "__init__"},
    "plan": {"config", "data", "store", "rundir"},
    "engine": {"contracts", "data", "losses", "models", "methods", "predictors", "metrics", "scores", "store"},
    "explain": {"contracts", "data"},
    "export": {"contracts", "data", "models", "store"},
    "serve": {"data", "engine", "explain"},
    "report": {"rundir", "store"},
    "launch": set(),
    "cli": {"config", "data", "engine", "explain", "export", "launch", "plan", "report", "rundir", "serve", "store",
            "__init__"},
    "__init__": set(), "__main__": {"cli"},
}  # fmt: skip
TORCH_FREE = {"config", "plan", "store", "rundir", "report", "launch", "cli"}
WITH_TORCH = {f"data/{name}.py" for name in ("augment", "images", "items", "placed", "tasks", "texts", "vectors")}


def unit(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Modules a file imports anywhere, also inside functions; those under TYPE_CHECKING are types only."""
    tree = ast.parse(path.read_text())
    typed = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    skipped = {id(inner) for node in typed for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module == "transfer_cli"
            found |= {f"transfer_cli.{a.name}" for a in node.names} if whole else {node.module}
    return found


def ours(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("transfer_cli.")}
    return {"__init__" if name.startswith("__") else name for name in names}


def test_the_walk_reaches_every_unit():
    assert {unit(path) for path in FILES} <= set(MAY_IMPORT)
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    own = unit(path)
    assert ours(path) - FREE - {own} - MAY_IMPORT[own] == set()


def test_torch_stays_where_it_belongs():
    def imports_torch(path):
        return any(name.split(".")[0] in ("torch", "torchvision", "transformers") for name in imported(path))

    loose = [p for p in FILES if unit(p) in TORCH_FREE | FREE and imports_torch(p)]
    data = {p.relative_to(PACKAGE).as_posix() for p in FILES if unit(p) == "data" and imports_torch(p)}
    assert [p.name for p in loose] == ["doctor.py"]  # only with -v
    assert data == WITH_TORCH


def test_pure_functions_import_torch_only():
    for path in FILES:
        if unit(path) in ("losses", "metrics", "predictors", "scores", "contracts"):
            allowed = {"torch", "transfer_cli", "collections", "typing", "dataclasses", "copy", "math"}
            assert {name.split(".")[0] for name in imported(path)} <= allowed, path


def test_package_markers_are_empty():
    """What stands in an __init__ would be in every stage's key, or in none."""
    for path in FILES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            assert path.read_text().strip() == "", path


def test_no_file_is_long():
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def loaded(*argv: str) -> set[str]:
    """Top-level modules in memory after a command."""
    code = f"import sys; from transfer_cli.cli.main import main; main({list(argv)!r}); print('|', *sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in out.rpartition("|")[2].split()}


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["run", "--help"], ["list", "strategies"], ["list", "models"], ["__complete", "run", "strategy=f"]],
)
def test_light_commands_load_nothing_heavy(argv):
    assert (
        loaded(*argv)
        & {"torch", "pandas", "numpy", "hydra", "omegaconf", "transformers", "yaml", "matplotlib", "timm", "peft"}
        == set()
    )


@pytest.mark.parametrize(
    "argv",
    [
        ["show", "data=digits"],
        ["run", "--cfg", "data=digits"],
        ["run", "-n", "data=digits"],
        ["run", "-n", "data=digits", "model=timm/resnet18"],
        ["run", "--cfg", "data=text", "model=gpt_tiny", "fine_tune=prompt"],
    ],
)
def test_looking_needs_no_torch(argv, tmp_path):
    assert loaded(*argv, "--runs", str(tmp_path)) & {
        "torch", "pandas", "transformers", "matplotlib", "timm", "peft",
    } == set()  # fmt: skip


def test_nothing_runs_code_from_data():
    for path in FILES:
        tree = ast.parse(path.read_text())
        calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = [call.split("(")[0] + "(" for call in calls]
        assert not {"eval(", "exec(", "os.system(", "hydra.utils.instantiate("} & set(names), path
        for word in ("allow_pickle=True", "weights_only=False", "trust_remote_code=True", "shell=True"):
            assert not any(word in call for call in calls), (path, word)
