"""The README keeps its word: recipes work as they stand, commands are ones, tables and file tree are complete."""

import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from transfer_cli.cli.main import main
from transfer_cli.cli.options import read
from transfer_cli.config.folders import options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^`([\w./-]+)`:\n+```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADD = "### Add "
RECIPES = ("a method", "a strategy", "a data set", "a model", "a task", "a kind of row", "a sampler")
EMPTY = {"method": {"none", "given"}, "data": {"none", "base"}}  # slots that stay empty
Transfer = Callable[..., Any]


class Recipe(NamedTuple):
    """One `### Add ...` section: files by name, commands in order."""

    files: dict[str, str]
    commands: list[str]


def commands(text: str) -> list[str]:
    """Command lines of fenced blocks: `$ transfer ...`, in shell blocks also `transfer ...`; `\\` joins lines."""
    found = []
    for language, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            plain = language in ("sh", "bash", "shell") and re.match(r"([A-Z_]+=\S+ )*transfer ", line)
            if plain or re.match(r"\$ ([A-Z_]+=\S+ )*transfer( |$)", line):
                found.append(line.removeprefix("$ "))
    return found


def arguments(command: str) -> tuple[dict[str, str], list[str]]:
    """Variables set before the program, and what comes after it, without a trailing comment or pipe."""
    words = shlex.split(command, comments=True)
    at = words.index("transfer")
    end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", "2>&1")), len(words))
    return dict(word.split("=", 1) for word in words[:at]), words[at + 1 : end]


def sections() -> dict[str, str]:
    """Text below each heading, up to the next one of any level; what looks like one inside a fence is none."""
    found: dict[str, str] = {}
    title, fenced = "", False
    for line in README.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if not fenced and re.match("#{1,6} ", line):
            title = line.strip()
        else:
            found[title] = found.get(title, "") + line
    return found


def recipes() -> dict[str, Recipe]:
    """Sections by what is added."""
    named = {title.removeprefix(ADD): text for title, text in sections().items() if title.startswith(ADD)}
    return {name: Recipe(dict(FILE.findall(text)), commands(text)) for name, text in named.items()}


# recipes
def test_the_recipes_are_there() -> None:
    found = recipes()
    assert set(RECIPES) <= set(found)
    for name, recipe in found.items():
        assert recipe.files, name
        assert recipe.commands, name
    folders = {Path(path).parts[-2] for recipe in found.values() for path in recipe.files}
    assert folders >= {"methods", "method", "strategy", "data", "tasks", "scoring", "kinds", "samplers"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All files of all recipes, written as they stand, in a folder that is on Python's path."""
    root = tmp_path_factory.mktemp("recipes")
    for recipe in recipes().values():
        for name, text in recipe.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    yield root
    sys.path.remove(str(root))


@pytest.mark.parametrize("name", list(recipes()) or RECIPES)
def test_a_recipe_works_word_for_word(name: str, package: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(package)  # `conf/` of the folder one works in counts, too
    monkeypatch.setenv("TRANSFER_RUNS", str(tmp_path / "runs"))
    for command in recipes()[name].commands:
        code = main([*arguments(command)[1], "trainer=tiny"])
        told = capsys.readouterr()
        assert code == 0, told.err
        assert ("test/off" if name == "a task" else "test/accuracy") in told.out


@pytest.mark.parametrize("name", list(recipes()) or RECIPES)
def test_the_code_of_a_recipe_is_in_our_own_style(name: str, package: Path) -> None:
    for path, text in recipes()[name].files.items():
        assert all(len(line) <= 120 for line in text.splitlines() if path.endswith(".py")), path
        if path.endswith(".yaml"):
            assert text.startswith("# "), f"{path}: the first line says what it is"


# commands
RECIPE_COMMANDS = {command for recipe in recipes().values() for command in recipe.commands}
COMMANDS = [command for command in dict.fromkeys(commands(README)) if command not in RECIPE_COMMANDS]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one(command: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    variables, argv = arguments(command)
    monkeypatch.setenv("TRANSFER_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(ROOT)  # data are named relative to the checkout
    for name, value in variables.items():
        if name != "TRANSFER_DATA" or Path(value).exists():
            monkeypatch.setenv(name, value)
    read(argv or ["list"])  # raises what is wrong with the options
    code = main(dry(argv))
    told = capsys.readouterr()
    if code in (4, 5) and re.search(
        r"not in the data folder|no such (folder or )?file|not downloaded|wants ", told.err
    ):
        pytest.skip(told.err.splitlines()[0])
    assert code == 0, told.err


def dry(argv: list[str]) -> list[str]:
    """The command without its effects: runs are planned only, what needs a run that is not here is only read."""
    if argv[:1] == ["run"]:
        return [*argv, "-n"]
    words = [text for text in argv if "=" in text]
    looks = argv[:1] in (["list"], ["doctor"], ["completion"], []) or (argv[:1] == ["show"] and words)
    return argv if looks else ["--version"]


# tables and tree
def cells() -> set[str]:
    """First cells of all table rows."""
    rows = re.findall(r"^\| *`?([^|`]+?)`? *\|", README, re.MULTILINE)
    return set(rows)


@pytest.mark.parametrize("group", ["strategy", "method", "data"])
def test_every_option_is_in_a_table(group: str) -> None:
    assert set(options(group)) - EMPTY.get(group, set()) - cells() == set()


def tree() -> list[str]:
    """Paths of the file tree: the fenced block that begins with a folder of ours, names indented below folders."""
    blocks = [block for _, block in FENCE.findall(README) if re.search(r"^\W*transfer_cli/", block, re.MULTILINE)]
    if not blocks:
        return []
    found: list[str] = []
    above: list[tuple[int, str]] = []
    for line in blocks[0].splitlines():
        match = re.match(r"([\s│├└─|`-]*)([\w.-]+(?:/[\w.-]+)*/?)(?=\s|$)", line)
        if not match:
            continue
        depth, name = len(match[1]), match[2]
        above = [(d, folder) for d, folder in above if d < depth]
        path = "".join(folder for _, folder in above) + name
        found.append(path)
        if name.endswith("/"):
            above.append((depth, name))
    return found


def test_the_file_tree_is_true_and_complete() -> None:
    found = tree()
    absent = [path for path in found if not (ROOT / path).exists() and path != "runs/"]
    assert absent == []
    tops = {path.split("/")[0] for path in found}
    assert tops >= {"transfer_cli", "conf", "tests", "benchmarks", "pyproject.toml", "Makefile"}
    folders = {f"{path.name}" for path in (ROOT / "transfer_cli").iterdir() if (path / "__init__.py").exists()}
    named = {part for path in found for part in path.rstrip("/").split("/")}
    assert folders - named == set()
