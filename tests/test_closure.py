"""The code hash of a stage: what changes it, what does not, and whether it sees every file that runs."""

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import transfer_cli
from transfer_cli.errors import ConfigError
from transfer_cli.plan import code_hash
from transfer_cli.plan.code_hash import closure_of, has_version, hash_of, named
from transfer_cli.plan.tokens import source_hash

PACKAGE = Path(transfer_cli.__file__).parent


def hash_of_files(files: list[Path], cache: Path | None = None) -> str:
    return hash_of(closure_of(files, cache))


def code_parts(files: list[Path], cache: Path | None = None) -> dict[str, str]:
    return named(closure_of(files, cache))


LEAVES = sorted(
    path
    for folder in ("methods", "losses", "models", "predictors", "metrics", "data")
    for path in (PACKAGE / folder).glob("*.py")
    if not has_version(path)
)

SOURCE = '''
"""What it is."""
import torch  # the reason

def scale(x, *, by: float = 1.5):
    """Scales."""
    if by == 0xFF:
        return {"a": x, 'b': (x,)}
    return f"{x!r:>{by}}" + "ab" + str(x[0, 1])
'''

SAME = {
    "another docstring": ('"""Scales."""', '"""Makes larger.\n\n    Much."""'),
    "no module docstring": ('"""What it is."""', ""),
    "another comment": ("# the reason", "# another reason"),
    "quotes": ("'b'", '"b"'),
    "a broken line and its comma": ("(x, *, by: float = 1.5)", "(\n    x,\n    *,\n    by: float = 1.5,\n)"),
    "a list's comma": ("{\"a\": x, 'b': (x,)}", '{\n            "a": x,\n            "b": (x,),\n        }'),
    "blank lines": ("def scale", "\n\n\ndef scale"),
    "an f-string's quotes": ('f"{x!r:>{by}}"', "f'{x!r:>{by}}'"),
    "a number's letters": ("0xFF", "0Xff"),
    "a text in two parts": ('"ab"', '("a" "b")'.strip("()")),
    "indentation": ("        return {", "                    return {"),
}

OTHER = {
    "a number": ("1.5", "1.25"),
    "a text": ('"ab"', '"aB"'),
    "a tuple": ("(x,)", "(x)"),
    "an index": ("x[0, 1]", "x[0]"),
    "a tuple index": ("x[0, 1]", "x[(0, 1),]"),
    "a name": ("by", "at"),
    "inside an f-string": ("!r", "!s"),
    "bytes": ('"ab"', 'b"ab"'),
    "an import": ("import torch ", "import numpy "),
    "a statement's place": ("    return f", "        return f"),
}


def replaced(old: str, new: str) -> bytes:
    assert old in SOURCE
    text = SOURCE.replace(old, new)
    ast.parse(text)
    return text.encode()


@pytest.mark.parametrize("change", SAME)
def test_looks_do_not_count(change: str) -> None:
    assert source_hash(replaced(*SAME[change])) == source_hash(SOURCE.encode())


@pytest.mark.parametrize("change", OTHER)
def test_meaning_counts(change: str) -> None:
    assert source_hash(replaced(*OTHER[change])) != source_hash(SOURCE.encode())


def test_the_formatter_changes_no_hash(tmp_path: Path) -> None:
    """Our own files with tabs, and with lines joined where they fit: ruff is an independent judge of looks."""
    files = [path for path in PACKAGE.rglob("*.py") if path.stat().st_size]
    assert len(files) > 30
    before = {}
    for number, path in enumerate(files):
        before[tmp_path / f"{number}.py"] = source_hash(path.read_bytes())
        (tmp_path / f"{number}.py").write_bytes(path.read_bytes())
    options = ["quote-style='preserve'", "skip-magic-trailing-comma=true", "indent-style='tab'"]
    options = ["--isolated", "--line-length=120", *(part for o in options for part in ("--config", f"format.{o}"))]
    subprocess.run([sys.executable, "-m", "ruff", "format", *options, tmp_path], check=True, capture_output=True)
    texts = [path.read_bytes() for path in files]
    changed = [path.name for number, path in enumerate(before) if path.read_bytes() != texts[number]]
    assert len(changed) > 30
    differing = [str(files[n]) for n, path in enumerate(before) if source_hash(path.read_bytes()) != before[path]]
    assert differing == [], "brackets that the formatter takes away count; write these lines otherwise"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed plugin package: methods/mine.py imports its own helper and a loss of ours."""
    files = {
        "__init__.py": "",
        "helper.py": "import json\nVALUE = 1\n",
        "unused.py": "VALUE = 2\n",
        "methods/mine.py": "import numpy\nfrom my_plugin import helper\nfrom transfer_cli.errors import Fault\n"
        "def step():\n    from transfer_cli.losses.coral import coral\n    return coral\n",
    }
    for name, text in files.items():
        (tmp_path / "my_plugin" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my_plugin" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "my_plugin"


def test_our_files_are_followed_and_only_ours(plugin: Path) -> None:
    names = {
        "my_plugin/__init__.py",
        "my_plugin/helper.py",
        "my_plugin/methods/mine.py",
        "transfer_cli/losses/coral.py",
        "transfer_cli/losses/pairs.py",
    }
    assert set(code_parts([plugin / "methods" / "mine.py"])) == names


def test_an_edit_of_an_imported_file_changes_the_hash(plugin: Path) -> None:
    mine = [plugin / "methods" / "mine.py"]
    before = hash_of_files(mine)
    (plugin / "unused.py").write_text("VALUE = 3\n")
    (plugin / "helper.py").write_text("import json  # looks only\n\nVALUE = 1\n")
    assert hash_of_files(mine) == before
    (plugin / "helper.py").write_text("import json\nVALUE = 2\n")
    assert hash_of_files(mine) != before


def test_the_hash_does_not_know_where_the_files_lie(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_of_files([plugin / "methods" / "mine.py"])
    (tmp_path / "moved").mkdir()
    moved = plugin.rename(tmp_path / "moved" / "my_plugin")
    monkeypatch.syspath_prepend(str(tmp_path / "moved"))
    assert hash_of_files([moved / "methods" / "mine.py"]) == before


@pytest.mark.parametrize("number", ["ENGINE_VERSION", "DATA_VERSION", "NET_VERSION"])
def test_a_version_number_changes_the_hash_and_its_files_do_not(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    mine = [plugin / "methods" / "mine.py"]
    before = hash_of_files(mine)
    assert "transfer_cli/errors.py" not in code_parts(mine)
    monkeypatch.setattr(code_hash, number, getattr(code_hash, number) + 1)
    assert hash_of_files(mine) != before


def test_relative_imports_and_cycles(plugin: Path) -> None:
    (plugin / "methods" / "other.py").write_text("from . import mine\nfrom ..helper import VALUE\n")
    (plugin / "helper.py").write_text("import my_plugin.methods.other\nfrom my_plugin import unused\n")
    names = set(code_parts([plugin / "methods" / "other.py"]))
    assert {"my_plugin/helper.py", "my_plugin/methods/mine.py", "my_plugin/unused.py"} < names


def test_a_file_that_does_not_parse_is_named(plugin: Path) -> None:
    (plugin / "helper.py").write_text("def broken(:\n")
    with pytest.raises(ConfigError, match=r"helper\.py: does not parse: invalid syntax"):
        hash_of_files([plugin / "methods" / "mine.py"])


# the cache
def aged(*files: Path) -> None:
    for file in files:
        os.utime(file, (1_600_000_000, 1_600_000_000))


def test_the_cache_saves_reading(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, helper, cache = plugin / "methods" / "mine.py", plugin / "helper.py", tmp_path / "cache"
    aged(mine, helper, plugin / "__init__.py")
    before = hash_of_files([mine], cache)
    assert before == hash_of_files([mine])
    assert str(helper) in json.loads((cache / "closure.json").read_text())["files"]
    monkeypatch.setattr(code_hash, "source_hash", lambda source: pytest.fail("read again"))
    assert hash_of_files([mine], cache) == before


def test_the_cache_notices_edits(plugin: Path, tmp_path: Path) -> None:
    mine, helper, cache = plugin / "methods" / "mine.py", plugin / "helper.py", tmp_path / "cache"
    aged(mine, helper)
    before = hash_of_files([mine], cache)
    helper.write_text("import json\nVALUE = 7\n")  # same size
    after = hash_of_files([mine], cache)
    assert after not in (before, hash_of_files([mine.with_name("mine.py"), plugin / "unused.py"], cache))
    helper.write_text("import json\nVALUE = 1\n")  # at once, same size: a new file's time is not trusted
    assert hash_of_files([mine], cache) == before


def test_a_file_of_this_moment_is_read_again(plugin: Path, tmp_path: Path) -> None:
    """Its clock may not tick between two edits."""
    mine, helper, cache = plugin / "methods" / "mine.py", plugin / "helper.py", tmp_path / "cache"
    before, stamp = hash_of_files([mine], cache), helper.stat().st_mtime_ns
    helper.write_text("import json\nVALUE = 7\n")
    os.utime(helper, ns=(stamp, stamp))
    assert hash_of_files([mine], cache) != before


@pytest.mark.parametrize("garbage", [b"", b"[]", b'{"tokens": 1}', b'{"tokens": 0, "files": {}}', b"\xff"])
def test_a_damaged_cache_is_made_anew(plugin: Path, tmp_path: Path, garbage: bytes) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "closure.json").write_bytes(garbage)
    assert hash_of_files([plugin / "methods" / "mine.py"], cache) == hash_of_files([plugin / "methods" / "mine.py"])


# our own code
def test_our_init_files_hold_nothing() -> None:
    """They are not in any hash, for an edit of one would change every key."""
    files = sorted(PACKAGE.rglob("__init__.py"))
    assert len(files) > 8
    assert {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in files if path.read_text()} == {
        "__init__.py": f'__version__ = "{transfer_cli.__version__}"\n'
    }


def test_every_module_that_runs_is_in_the_closure_or_has_a_version() -> None:
    """Imports each leaf in a clean set of our modules and asks Python what came along."""
    assert len(LEAVES) > 10
    script = """
        import importlib, json, sys
        import torch
        seen = {}
        for name in sys.argv[1:]:
            for module in [m for m in sys.modules if m.split(".")[0] == "transfer_cli"]:
                del sys.modules[module]
            importlib.import_module(name)
            ours = [m for key, m in sys.modules.items() if key.split(".")[0] == "transfer_cli"]
            seen[name] = sorted(m.__file__ for m in ours)
        print(json.dumps(seen))
    """
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in LEAVES}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *names],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    missed = {}
    for name, path in names.items():
        known = {str(PACKAGE.parent / part) for part in code_parts([path])}
        missed[name] = [file for file in loaded[name] if file not in known and not has_version(Path(file))]
    assert {name: files for name, files in missed.items() if files} == {}


def test_versions_stand_for_files_that_exist_and_for_no_others() -> None:
    assert all((PACKAGE / name).is_file() for name in (*code_hash.ENGINE_FILES, *code_hash.NET_FILES))
    assert all((PACKAGE / name).is_dir() for name in (*code_hash.ENGINE_FOLDERS, *code_hash.DATA_FOLDERS))
    versioned = ("errors.py", "data/splits.py", "data/fetch/hub.py", "models/backbone.py", "engine/loader.py")
    hashed = ("methods/erm.py", "losses/coral.py", "data/readers/csv.py", "data/formats/decode.py", "models/lenet.py")
    assert [has_version(PACKAGE / name) for name in (*versioned, *hashed)] == [True] * 5 + [False] * 5


def test_what_is_imported_for_types_only_does_not_count(plugin: Path) -> None:
    mine = plugin / "methods" / "mine.py"
    mine.write_text(
        "from typing import TYPE_CHECKING\nimport typing\n"
        "if TYPE_CHECKING:\n    from my_plugin import unused\nelse:\n    from my_plugin import helper\n"
        "if typing.TYPE_CHECKING:\n    from transfer_cli.losses import coral\n"
    )
    before = code_parts([mine])
    assert set(before) == {"my_plugin/__init__.py", "my_plugin/helper.py", "my_plugin/methods/mine.py"}
    (plugin / "unused.py").write_text("VALUE = 3\n")
    assert code_parts([mine]) == before


def test_files_left_out_do_not_count_and_neither_does_what_only_they_import(plugin: Path) -> None:
    mine, helper = plugin / "methods" / "mine.py", plugin / "helper.py"
    helper.write_text("from my_plugin import unused\n")
    assert "my_plugin/unused.py" in code_parts([mine])
    found = named(closure_of([mine], without=frozenset({helper})))
    assert not {"my_plugin/helper.py", "my_plugin/unused.py"} & set(found)
    assert "transfer_cli/losses/coral.py" in found
