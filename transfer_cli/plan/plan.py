"""Stages and plans as values, without torch; `show` and all checks use them.

A key is a sha256 hash of everything on which a stage's result depends: the method with all its settings, parents, data,
views, model, effective trainer, seed, role and code. It does not contain the name of the strategy or of the run, nor
the settings of `runtime`."""

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
    """One stage of a run. `spec` is hashed to `key`; an empty key means an empty slot. `rules`: the selection rules of
    its snapshots; `rule`: the one whose snapshot later stages get. `what`: a description for the screen. `names`: the
    classes by which labels are numbered, if they are not those of the data."""

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
        """The kind of stage: "train", "given", "evaluate", or "none" for an empty slot."""
        return str(self.spec.get("kind", "none"))


@dataclass(frozen=True)
class Plan:
    """The stages of a run in order, and the data that they read. `watched`: the stamps (size, time) of all files on
    which the plan depends."""

    config: Config
    values: Json
    stages: tuple[Stage, ...]
    target: DataSet
    source: DataSet | None
    weights: Path | None = None
    watched: Mapping[Path, tuple[int, int]] = field(default_factory=dict, repr=False)

    def changed(self) -> list[Path]:
        """The files of data, weights or code whose size or time has changed since the plan was made."""
        return [path for path, stamp in self.watched.items() if stamp_of(path) != stamp]

    @property
    def work(self) -> tuple[Stage, ...]:
        """The stages that are computed, that is, all except empty slots."""
        return tuple(stage for stage in self.stages if stage.key)


def key_of(spec: Mapping[str, Any]) -> str:
    """The first 32 hex digits of the sha256 of the spec as canonical JSON. The path of a parent's file is not part of
    it; the hash of its content is."""
    parents = {name: {k: v for k, v in ref.items() if k != "file"} for name, ref in spec.get("parents", {}).items()}
    hashed = {**spec, "parents": parents} if parents else spec
    return sha256(json.dumps(hashed, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


def stamp_of(path: Path) -> tuple[int, int]:
    """The size and the modification time (ns) of a file, (-1, -1) if it does not exist. They change when the file is
    written."""
    try:
        facts = path.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """`stamp_of` of each path."""
    return {path: stamp_of(path) for path in paths}
