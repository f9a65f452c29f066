"""Reads YAML files strictly, before Hydra reads them. Not allowed: anchors (which could exhaust memory), tags, repeated
keys, and values that YAML 1.1 reads in an unexpected way. Also reads `defaults` lists: the options that a file
chooses."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from transfer_cli.errors import ConfigError, Fault

MAX_BYTES = 64_000
MAX_DATA_BYTES = 1_000_000  # for a YAML of a data set, which may list rows
MAX_DEPTH = 32
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# values that YAML 1.1 reads in an unexpected way: 010 is 8, 12:30 is 750, no is false
TRAP = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?[0-9][0-9]*_[0-9_]*", re.ASCII)
BOOLEANS = {"yes", "no", "on", "off"}


class _Strict(LOADER):  # type: ignore[misc]
    """A YAML loader that raises an error for a repeated key, where PyYAML would use the last one."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key.start_mark)
        if key.value in keys:
            raise yaml.MarkedYAMLError(problem=f"key {key.value} is given twice", problem_mark=key.start_mark)
        keys.add(key.value)
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return mapping


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


@lru_cache(maxsize=256)
def _read(path: Path, mtime_ns: int, size: int, most: int) -> dict[str, Any]:
    if size > most:
        raise ConfigError(Fault(str(path), f"{size:,} bytes; allowed {most:,}"))
    try:
        text = path.read_text(encoding="utf-8")
        _scan(text)
        values = yaml.load(text, _Strict)
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(path), f"is no UTF-8 text at byte {error.start:,}")) from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(Fault(f"{path}{line}", error.problem or "is no YAML")) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(Fault(str(path), str(error).partition("\n")[0])) from error
    if values is not None and not isinstance(values, dict):
        raise ConfigError(Fault(str(path), "must consist of key: value lines"))
    return values or {}


def read(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """The content of a YAML file of at most `most` bytes. Raises ConfigError with file and line."""
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size, most)


def _scan(text: str) -> None:
    """Raises MarkedYAMLError for forbidden YAML. Checks the event stream, before any object is created, so a malicious
    file cannot exhaust memory."""
    depth = 0
    event: Any
    for event in yaml.parse(text, LOADER):
        problem = None
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            problem = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else None
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and not event.style:  # plain: None, in C ""
            problem = _trap(event.value)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors and aliases (& and *) are not allowed"
        elif tag := getattr(event, "tag", None):
            problem = f"tags ({tag}) are not allowed"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _trap(word: str) -> str | None:
    if word.lower() not in BOOLEANS and not TRAP.fullmatch(word):
        return None
    return f"{word} is read as {yaml.safe_load(word)!r}: write true, false, a plain number or '{word}' in quotes"


def chosen(path: Path) -> list[tuple[str, str]]:
    """The options that the `defaults` of a file choose: [("method@align", "coral")]; the slot of a plain name is ""."""
    selected = []
    for entry in read(path).get("defaults") or []:
        pairs = list(entry.items()) if isinstance(entry, dict) else [("", entry)]
        key, name = pairs[0] if len(pairs) == 1 else ("", None)
        if not isinstance(key, str) or not isinstance(name, str | None) or "$" in f"{key}{name}":
            raise ConfigError(
                Fault(str(path), "defaults must be lines like `override /method@align: coral`", str(entry))
            )
        if name not in (None, "_self_"):
            selected.append((re.sub(r"^((override|optional)\s+)*/?", "", key), str(name)))
    return selected
