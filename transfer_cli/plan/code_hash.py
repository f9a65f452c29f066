"""The code part of a stage key: a hash of the files that decide its numbers, by what they say, not how they look.

Counted: the given files and our files they import, at any depth, but not what is imported for types only. Ours: this
package and the packages of the given files. Not counted: files that every stage runs, of engine, data and nets; one
number stands for each of these groups. The number is raised when a golden test shows that an edit changed numbers;
edits that change none keep every stored result."""

import ast
import json
import os
import sys
import time
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault, TransferError
from transfer_cli.plan.tokens import source_hash
from transfer_cli.safe import shown
from transfer_cli.store.disk import put

ENGINE_VERSION = 2  # of engine, configuration, store and the files of the package's top level
DATA_VERSION = 1  # of opening, cutting, drawing and keeping rows: files directly in data/, and fetch/, quality/
NET_VERSION = 1  # of what a net is, whatever its family
PACKAGE = Path(__file__).resolve().parents[1]
# relative to the package; `__init__` files are empty (tested) but the root's version
ENGINE_FOLDERS = ("analysis", "cli", "config", "engine", "plan", "report", "rundir", "runner", "store")
ENGINE_FILES = ("kinds/_kind.py",)  # what every kind promises
DATA_FOLDERS = ("data/fetch", "data/quality")
NET_FILES = ("models/backbone.py", "models/grafts.py", "models/net.py", "models/peft.py")
TOKENS = 2  # raise when tokens.py or what counts as an import changes: cached hashes are then made anew
_RECENT_S = 2.0
CACHE_FILE = "closure.json"
Cache = dict[str, list[Any]]  # file -> [mtime_ns, size, hash, imports]
Asked = tuple[tuple[Path, ...], frozenset[Path]]
# closures found by this process: many runs of a sweep have the same, and a look at the files is cheaper than a search
_FOUND: dict[Asked, tuple[dict[Path, str], list[tuple[int, int]]]] = {}


def versions() -> list[int]:
    """The numbers that stand for engine, data and nets."""
    return [ENGINE_VERSION, DATA_VERSION, NET_VERSION]


def hash_of(closure: Mapping[Path, str]) -> str:
    """Hash of a closure by the names and contents of its files, wherever they lie, and of the version numbers."""
    return _hash(tuple(versions()), tuple(closure.items()))


@lru_cache
def _hash(numbers: tuple[int, ...], files: tuple[tuple[Path, str], ...]) -> str:
    return sha256(json.dumps([numbers, sorted(named(dict(files)).items())]).encode()).hexdigest()


def named(closure: Mapping[Path, str]) -> dict[str, str]:
    """A closure by names that hold on every machine: `transfer_cli/losses/coral.py`."""
    return {file.relative_to(import_root(file)).as_posix(): digest for file, digest in closure.items()}


def closure_of(
    files: Sequence[Path], cache: Path | None = None, *, without: frozenset[Path] = frozenset()
) -> dict[Path, str]:
    """The given files and ours that they import, at any depth, but those that a version number stands for: hash by
    file. `without` are files that do not count here, though they are imported. `cache` is a folder that saves reading
    what did not change. Raises ConfigError if a file does not parse."""
    asked = tuple(sorted(files)), without
    if asked in _FOUND and _stamps(_FOUND[asked][0]) == _FOUND[asked][1]:
        return dict(_FOUND[asked][0])
    found = _search(*asked, cache)
    stamps = _stamps(found)
    if all(abs(time.time() - changed / 1e9) > _RECENT_S for changed, _ in stamps):
        _FOUND[asked] = dict(found), stamps
    return found


def _stamps(files: Mapping[Path, str]) -> list[tuple[int, int]]:
    """Time and size of each file; of one that is gone, nothing that a file can have."""
    found = []
    for file in files:
        with suppress(OSError):
            facts = os.stat(file)
            found.append((facts.st_mtime_ns, facts.st_size))
    return found


def _search(files: Sequence[Path], without: frozenset[Path], cache: Path | None) -> dict[Path, str]:
    known = _load(cache)
    fresh = dict(known)
    found: dict[Path, str] = {}
    seen: set[str] = set()
    todo = [file.resolve() for file in files]
    roots = {PACKAGE.parent, *(import_root(file) for file in todo)}
    packages = {file.relative_to(import_root(file)).parts[0] for file in todo} | {PACKAGE.name}
    while todo:
        file = todo.pop()
        if file in found or file in without or has_version(file):
            continue
        found[file], imports = _facts(file, fresh)
        mine = {name for name in imports if name.partition(".")[0] in packages} - seen
        seen |= mine
        todo += [path for name in sorted(mine) for path in _located(name, roots)]
    if cache and fresh != known:
        _save(cache, fresh)
    return found


def has_version(file: Path) -> bool:
    """Whether a version number stands for the file instead of its hash."""
    if not file.is_relative_to(PACKAGE):
        return False
    name = file.relative_to(PACKAGE)
    folder = name.parent.as_posix()
    engine = folder == "." or name.name == "__init__.py" or name.parts[0] in ENGINE_FOLDERS
    return engine or folder in ("data", *DATA_FOLDERS) or name.as_posix() in (*ENGINE_FILES, *NET_FILES)


def import_root(file: Path) -> Path:
    """The folder from which `file` is imported: the longest entry of sys.path above it, else above its package."""
    above = [Path(entry) for entry in sys.path if entry and file.is_relative_to(Path(entry))]
    if above and not file.is_relative_to(PACKAGE):
        return max(above, key=lambda path: len(path.parts))
    folder = file.parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _located(name: str, roots: set[Path]) -> Iterator[Path]:
    """Files a dotted name may mean, with the `__init__` files that importing it runs."""
    parts = name.split(".")
    for root in roots:
        for depth in range(1, len(parts) + 1):
            path = root.joinpath(*parts[:depth])
            yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())


def _facts(file: Path, cache: Cache) -> tuple[str, list[str]]:
    """Hash and imports of one file, from the cache if its time and size are those of then."""
    facts = file.stat()
    stamp = [facts.st_mtime_ns, facts.st_size]
    if (known := cache.get(str(file))) and known[:2] == stamp:
        return str(known[2]), list(known[3])
    source = file.read_bytes()
    try:
        imports = sorted(set(_imports(ast.parse(source), file)))
        digest = source_hash(source)
    except (SyntaxError, tokenize.TokenError, ValueError) as error:
        raise ConfigError(Fault(shown(file), f"does not parse: {error}")) from error
    # a file changed a moment ago may change again within the same tick of its clock
    if abs(time.time() - facts.st_mtime) > _RECENT_S:
        cache[str(file)] = [*stamp, digest, imports]
    return digest, imports


def _imports(tree: ast.AST, file: Path) -> Iterator[str]:
    """Dotted names of everything that the file imports when it runs, anywhere in it; `from a import b` may mean a file
    a/b."""
    package = file.relative_to(import_root(file)).with_suffix("").parts[:-1]
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree without what stands under `if TYPE_CHECKING:`."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        todo += node.orelse if isinstance(node, ast.If) and for_types else ast.iter_child_nodes(node)


def _load(cache: Path | None) -> Cache:
    with suppress(OSError, ValueError, KeyError, TypeError):
        if cache:
            found = json.loads((cache / CACHE_FILE).read_bytes())
            return dict(found["files"]) if found["tokens"] == TOKENS else {}
    return {}


def _save(cache: Path, files: Cache) -> None:
    with suppress(TransferError, OSError):  # only time is lost without it
        cache.mkdir(parents=True, exist_ok=True)
        put(cache / CACHE_FILE, json.dumps({"tokens": TOKENS, "files": files}, sort_keys=True).encode())
