"""Sweeps as values: sweep.json, parsed once."""

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
    """A run of a sweep, as its row of the ledger describes it. `path` is relative to the runs folder and empty before
    the run has started."""

    words: tuple[str, ...]
    state: str
    path: str = ""
    id: str = ""
    code: int | None = None
    fault: str = ""
    score: Metric | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep, as sweep.json describes it; `fault`: why the document cannot be read."""

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
    def of(cls, document: Json) -> Self:
        """The sweep of a document that `rundir.schema` has checked."""
        return cls(
            document["id"],
            document["status"],
            Path(document["path"]),
            document.get("code"),
            document.get("started") or "",
            tuple(document["words"]),
            tuple(map(row_of, document.get("runs") or ())),
            document.get("fault") or "",
        )


def row_of(row: Json) -> SweepRow:
    """The value of a row of sweep.json."""
    return SweepRow(
        tuple(row["words"]),
        row["state"],
        row.get("path") or "",
        row.get("id") or "",
        row.get("code"),
        row.get("fault") or "",
        score_of(row),
    )


def score_of(row: Json) -> Metric | None:
    """The headline metric of a row of sweep.json, with the measure that the row declares; None without a headline."""
    head = row.get("headline")
    if not head:
        return None
    declared = {"measures": {bare(head["name"]): row["measure"]}} if row.get("measure") else {}
    lone = {"id": "", "status": "", "words": (), "choices": {}, "config": {}, "stages": (), "cost": {}, **declared}
    headline = Run.of({**lone, "headline": head, "metrics": {}}).headline
    return headline.metric if headline else None


def sweeps(runs: Path, limit: int | None = None) -> list[Sweep]:
    """Every sweep of a runs folder, newest start first; at most `limit` of them are read."""
    return [Sweep.of(summary(folder)) for folder in folders(runs, sweeps=True)[::-1][:limit]]


def of_record(document: Json) -> Run | Sweep:
    """The run or the sweep of a checked document."""
    return Sweep.of(document) if "runs" in document else Run.of(document)
