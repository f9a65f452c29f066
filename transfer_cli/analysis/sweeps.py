"""Sweeps as values: sweep.json, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from transfer_cli.analysis.metric import Metric, bare
from transfer_cli.analysis.results import Run
from transfer_cli.rundir.runs import UNREADABLE, folders, summary

Json = Mapping[str, Any]


@dataclass(frozen=True)
class SweepRow:
    """A run of a sweep as the ledger tells it; `path` below the runs folder, empty before it began."""

    words: tuple[str, ...]
    state: str
    path: str = ""
    id: str = ""
    code: int | None = None
    fault: str = ""
    score: Metric | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep as its sweep.json tells it; `fault`: why that cannot be read."""

    id: str
    status: str
    path: Path
    code: int | None
    started: str
    words: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    fault: str = ""

    @property
    def is_unreadable(self) -> bool:
        return self.status == UNREADABLE

    @classmethod
    def of(cls, found: Json) -> Self:
        """Of a document that `rundir.schema` has checked."""
        return cls(
            found["id"],
            found["status"],
            Path(found["path"]),
            found.get("code"),
            found.get("started") or "",
            tuple(found["words"]),
            tuple(map(row_of, found.get("runs") or ())),
            found.get("fault") or "",
        )


def row_of(found: Json) -> SweepRow:
    """A row of sweep.json."""
    return SweepRow(
        tuple(found["words"]),
        found["state"],
        found.get("path") or "",
        found.get("id") or "",
        found.get("code"),
        found.get("fault") or "",
        score_of(found),
    )


def score_of(row: Json) -> Metric | None:
    """The headline of a row of sweep.json, with the measure it declares."""
    head = row.get("headline")
    if not head:
        return None
    declared = {"measures": {bare(head["name"]): row["measure"]}} if row.get("measure") else {}
    lone = {"id": "", "status": "", "words": (), "choices": {}, "config": {}, "stages": (), "cost": {}, **declared}
    found = Run.of({**lone, "headline": head, "metrics": {}}).headline
    return found.metric if found else None


def sweeps(runs: Path, limit: int | None = None) -> list[Sweep]:
    """Every sweep, newest start first."""
    return [Sweep.of(summary(folder)) for folder in folders(runs, sweeps=True)[::-1][:limit]]


def of_record(found: Json) -> Run | Sweep:
    """The run or the sweep that a checked document tells of."""
    return Sweep.of(found) if "runs" in found else Run.of(found)
