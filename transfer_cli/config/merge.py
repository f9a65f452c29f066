"""Composes YAML files with Hydra, overlays values and resolves references `${a.b}`. The only file that imports Hydra.
Users' files are checked before Hydra opens them: no keys that run code, no settings of Hydra itself."""

import copy
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from transfer_cli.config.choices import Slots, unknown, word_of
from transfer_cli.config.folders import ROOT, conf_dir, find_option, options
from transfer_cli.config.values import look, problems
from transfer_cli.config.words import group_of
from transfer_cli.config.yamls import chosen, read
from transfer_cli.errors import ConfigError, Fault

Json = dict[str, Any]
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
MAX_HOPS = 16  # the longest chain of references
_LOCK = Lock()  # Hydra has one global state per process


def composed(slots: Slots, search: Sequence[Path]) -> Json:
    """The merged content of the chosen files, with unresolved references. Raises ConfigError for an unknown option or a
    file that is not allowed."""
    for slot, name in slots.items():
        _vet(group_of(word_of(slot)), name, search)
    declared = {"experiment"} | {slot for place in _recipes(slots, search) for slot, _ in chosen(place)}
    overrides = tuple(f"{'' if slot in declared else '+'}{slot}={name}" for slot, name in sorted(slots.items()))
    return copy.deepcopy(_composed(overrides, tuple(search)))


def _recipes(slots: Slots, search: Sequence[Path]) -> Iterator[Path]:
    yield conf_dir() / ROOT
    for group in ("strategy", "experiment"):
        if path := find_option(group, slots.get(group, ""), search):
            yield path


def _vet(group: str, name: str, search: Sequence[Path], depth: int = 0) -> None:
    """Checks a user's file, and the files that its `defaults` name, as untrusted input. Raises ConfigError."""
    path = find_option(group, name, search)
    if path is None or depth > MAX_HOPS:
        raise unknown(group, name, options(group, search))
    if path.is_relative_to(conf_dir()):
        return
    faults = [Fault(f"{path}: {fault.key}", fault.text, fault.value) for fault in problems(read(path), gaps=False)]
    package = re.search(r"^#\s*@package\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if "hydra" in read(path) or (package and package[1] != "_global_"):
        faults.append(Fault(str(path), "may not set hydra, nor a @package but _global_"))
    if faults:
        raise ConfigError(*faults)
    for slot, option in chosen(path):
        _vet(group_of(word_of(slot)) if slot else group, option, search, depth + 1)


@lru_cache(maxsize=256)
def _composed(overrides: tuple[str, ...], search: tuple[Path, ...]) -> Json:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    places = ",".join(json.dumps(f"file://{place}", ensure_ascii=False) for place in search)
    try:
        with _LOCK, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose(Path(ROOT).stem, [*overrides, f"hydra.searchpath=[{places}]"])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(Fault("configuration", " ".join(str(error).split()))) from error
    plain: Json = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return plain


def parse_value(key: str, text: str) -> Any:
    """Parses a value of the command line: number, true, false, null, [a, b], {a: 1}, 'quoted'; anything else is text.
    Raises ConfigError for Hydra's sweep syntax."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except (HydraException, RecursionError):
        return text
    if not override.is_sweep_override():
        return override.value()
    if text.startswith("interval("):
        raise ConfigError(Fault(key, "an interval is written 0.001..0.1, with --search", text))
    if "(" in text:
        raise ConfigError(Fault(key, "several values are written a,b or 0..4, with -m", text))
    return text


def overlay(values: Json, key: str, value: Any) -> None:
    """Sets a dotted key in place; a mapping is merged into an existing mapping."""
    *path, last = key.split(".")
    for part in path:
        inner = values.get(part)
        values[part] = values = inner if isinstance(inner, dict) else {}
    if isinstance(value, dict) and isinstance(values.get(last), dict):
        for name, inner in value.items():
            overlay(values[last], str(name), inner) if "." not in str(name) else values[last].update({name: inner})
    else:
        values[last] = value


def resolved(values: Json) -> tuple[Json, list[Fault]]:
    """Replaces references by the values that they name; returns the values and the faults. A reference must be the
    whole value, `${a.b}`, and name a plain value; Hydra's computed values and environment variables are not allowed."""
    faults: list[Fault] = []
    return _resolve(values, values, "", faults), faults


def _resolve(node: Any, root: Json, at: str, faults: list[Fault]) -> Any:
    if isinstance(node, dict):
        return {name: _resolve(v, root, f"{at}.{name}".lstrip("."), faults) for name, v in node.items()}
    if isinstance(node, list):
        return [_resolve(item, root, at, faults) for item in node]
    value, hops = node, 0
    while isinstance(value, str) and "${" in value:
        reference = REFERENCE.fullmatch(value)
        value, hops = look(root, reference[1]) if reference else None, hops + 1
        if value is None or isinstance(value, dict | list) or hops > MAX_HOPS:
            faults.append(Fault(at, "only ${a.b} is allowed, as the whole value and naming a plain setting", node))
            return None
    return value
