"""Stages and plans as values. No torch: `show` and every check run on these.

A key is the sha256 of all that decides a stage's result: method and every parameter, parents, data views, model,
effective trainer, seed, role and code. Names of strategy or run, intervals of saving and `runtime` are not in it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli.config.compose import Config
from transfer_cli.data.dataset import DataSet

Json = dict[str, Any]
Stamps = dict[Path, tuple[int, int]]


@dataclass(frozen=True)
class Stage:
    """One stage of a run. `spec` is what is hashed into `key`; `rules` are the snapshots it can hand on and `rule` the
    one it does; `what` is for people. `key` "" is an empty slot. `names`: classes that labels are numbered by, where
    they are not the data's own."""

    name: str
    method: str
    what: str
    spec: Json
    key: str = ""
    rule: str = "final"
    rules: tuple[str, ...] = ("final",)
    seed: int = 0
    names: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return str(self.spec.get("kind", "none"))


@dataclass(frozen=True)
class Plan:
    """The stages of a run in order, and the data they read."""

    config: Config
    values: Json
    stages: tuple[Stage, ...]
    target: DataSet
    source: DataSet | None
    weights: Path | None = None
    watched: Mapping[Path, tuple[int, int]] = field(default_factory=dict, repr=False)

    def changed(self) -> list[Path]:
        """Files of data, weights or code whose size or time is not what it was when the plan was made."""
        return [path for path, stamp in self.watched.items() if stamp_of(path) != stamp]

    @property
    def work(self) -> tuple[Stage, ...]:
        """Stages that are computed (slots that are not empty)."""
        return tuple(stage for stage in self.stages if stage.key)


def key_of(spec: Mapping[str, Any]) -> str:
    """First 32 hex digits of sha256 over canonical JSON. Where a parent's file lies is not in it, its content is."""
    parents = {name: {k: v for k, v in ref.items() if k != "file"} for name, ref in spec.get("parents", {}).items()}
    hashed = {**spec, "parents": parents} if parents else spec
    return sha256(json.dumps(hashed, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of a file; what changes when somebody writes it."""
    try:
        facts = path.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """`stamp_of` each."""
    return {path: stamp_of(path) for path in paths}
