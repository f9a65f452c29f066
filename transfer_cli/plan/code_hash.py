"""The code part of a stage key: a hash of the files on which the stage's numbers depend. Comments, docstrings and
formatting do not change it.

The hash covers the given files and the files that they import, at any depth, from this package and from the packages of
the given files; imports for types only are ignored. Files that every stage runs (engine, data, nets) are not hashed:
each of these three groups has a version number. A version number is raised when a golden test shows that an edit has
changed results; any other edit keeps every stored result."""

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

ENGINE_VERSION = 2  # engine, configuration, store and the files at the top level of the package
DATA_VERSION = 1  # reading, splitting, sampling and caching rows: files directly in data/, and fetch/, quality/
NET_VERSION = 1  # the parts of a net that do not depend on its family
PACKAGE = Path(__file__).resolve().parents[1]
# relative to the package; `__init__` files are empty (tested), except the version in that of the package
ENGINE_FOLDERS = ("analysis", "cli", "config", "engine", "plan", "report", "rundir", "runner", "store")
ENGINE_FILES = ("kinds/_kind.py",)  # the interface of every kind
DATA_FOLDERS = ("data/fetch", "data/quality")
NET_FILES = ("models/backbone.py", "models/grafts.py", "models/net.py", "models/peft.py")
TOKENS = 2  # raise this when tokens.py or the rules for imports change: cached hashes are then computed again
_RECENT_S = 2.0
CACHE_FILE = "closure.json"
Cache = dict[str, list[Any]]  # file -> [mtime_ns, size, hash, imports]
Request = tuple[tuple[Path, ...], frozenset[Path]]
# closures computed by this process: runs of a sweep share them, and checking file times is cheaper than a search
_CLOSURES: dict[Request, tuple[dict[Path, str], list[tuple[int, int]]]] = {}


def versions() -> list[int]:
    """The version numbers of engine, data and nets."""
    return [ENGINE_VERSION, DATA_VERSION, NET_VERSION]


def hash_of(closure: Mapping[Path, str]) -> str:
    """The hash of a closure: of the names and contents of its files, and of the version numbers. It does not depend on
    where the files are installed."""
    return _hash(tuple(versions()), tuple(closure.items()))


@lru_cache
def _hash(numbers: tuple[int, ...], files: tuple[tuple[Path, str], ...]) -> str:
    return sha256(json.dumps([numbers, sorted(named(dict(files)).items())]).encode()).hexdigest()


def named(closure: Mapping[Path, str]) -> dict[str, str]:
    """A closure with names that are the same on every machine: `transfer_cli/losses/coral.py`."""
    return {file.relative_to(import_root(file)).as_posix(): digest for file, digest in closure.items()}


def closure_of(
    files: Sequence[Path], cache: Path | None = None, *, without: frozenset[Path] = frozenset()
) -> dict[Path, str]:
    """The hash of each of the given files and of the files that they import, at any depth, except files with a version
    number. `without`: imported files to leave out. `cache`: a folder in which hashes of unchanged files are stored.
    Raises ConfigError if a file does not parse."""
    request = tuple(sorted(files)), without
    if request in _CLOSURES and _stamps(_CLOSURES[request][0]) == _CLOSURES[request][1]:
        return dict(_CLOSURES[request][0])
    closure = _search(*request, cache)
    stamps = _stamps(closure)
    if all(abs(time.time() - changed / 1e9) > _RECENT_S for changed, _ in stamps):
        _CLOSURES[request] = dict(closure), stamps
    return closure


def _stamps(files: Mapping[Path, str]) -> list[tuple[int, int]]:
    """Time and size of each file; a missing file has no entry, so the lists differ."""
    stamps = []
    for file in files:
        with suppress(OSError):
            facts = os.stat(file)
            stamps.append((facts.st_mtime_ns, facts.st_size))
    return stamps


def _search(files: Sequence[Path], without: frozenset[Path], cache: Path | None) -> dict[Path, str]:
    known = _load(cache)
    fresh = dict(known)
    closure: dict[Path, str] = {}
    followed: set[str] = set()
    todo = [file.resolve() for file in files]
    roots = {PACKAGE.parent, *(import_root(file) for file in todo)}
    packages = {file.relative_to(import_root(file)).parts[0] for file in todo} | {PACKAGE.name}
    while todo:
        file = todo.pop()
        if file in closure or file in without or has_version(file):
            continue
        closure[file], imports = _facts(file, fresh)
        new = {name for name in imports if name.partition(".")[0] in packages} - followed
        followed |= new
        todo += [path for name in sorted(new) for path in _located(name, roots)]
    if cache and fresh != known:
        _save(cache, fresh)
    return closure


def has_version(file: Path) -> bool:
    """Whether the file is covered by a version number instead of its hash."""
    if not file.is_relative_to(PACKAGE):
        return False
    name = file.relative_to(PACKAGE)
    folder = name.parent.as_posix()
    engine = folder == "." or name.name == "__init__.py" or name.parts[0] in ENGINE_FOLDERS
    return engine or folder in ("data", *DATA_FOLDERS) or name.as_posix() in (*ENGINE_FILES, *NET_FILES)


def import_root(file: Path) -> Path:
    """The folder from which `file` is imported: the longest entry of sys.path that contains it, otherwise the folder
    that contains its top-level package."""
    above = [Path(entry) for entry in sys.path if entry and file.is_relative_to(Path(entry))]
    if above and not file.is_relative_to(PACKAGE):
        return max(above, key=lambda path: len(path.parts))
    folder = file.parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _located(name: str, roots: set[Path]) -> Iterator[Path]:
    """The files that a dotted name may mean, and the `__init__` files that run when it is imported."""
    parts = name.split(".")
    for root in roots:
        for depth in range(1, len(parts) + 1):
            path = root.joinpath(*parts[:depth])
            yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())


def _facts(file: Path, cache: Cache) -> tuple[str, list[str]]:
    """The hash and the imports of one file, from the cache if its time and size have not changed."""
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
    # a file that was changed just now may change again without getting another time stamp
    if abs(time.time() - facts.st_mtime) > _RECENT_S:
        cache[str(file)] = [*stamp, digest, imports]
    return digest, imports


def _imports(tree: ast.AST, file: Path) -> Iterator[str]:
    """The dotted names of all imports that run, also those inside functions. `from a import b` may mean a file
    a/b.py."""
    package = file.relative_to(import_root(file)).with_suffix("").parts[:-1]
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a syntax tree, except those under `if TYPE_CHECKING:`."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        todo += node.orelse if isinstance(node, ast.If) and for_types else ast.iter_child_nodes(node)


def _load(cache: Path | None) -> Cache:
    with suppress(OSError, ValueError, KeyError, TypeError):
        if cache:
            content = json.loads((cache / CACHE_FILE).read_bytes())
            return dict(content["files"]) if content["tokens"] == TOKENS else {}
    return {}


def _save(cache: Path, files: Cache) -> None:
    with suppress(TransferError, OSError):  # without the cache, hashes are only computed again
        cache.mkdir(parents=True, exist_ok=True)
        put(cache / CACHE_FILE, json.dumps({"tokens": TOKENS, "files": files}, sort_keys=True).encode())
