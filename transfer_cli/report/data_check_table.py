"""The findings of a data check as a table: an example and a count for each kind of finding, or every finding."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_cli.report.tables import Column, Table

if TYPE_CHECKING:
    from transfer_cli.data.contracts import Finding, Raw


def findings_table(raw: "Raw", findings: "Sequence[Finding]", *, grouped: bool) -> Table:
    """`grouped`: one line for each kind of finding; otherwise one line for each finding, for machine formats and -v."""
    title = f"{raw.name}: {raw.layout or 'named data set'}; {_count(raw)}"
    if grouped:
        columns = [Column("level", state=True), Column("kind"), Column("detail", head="", wraps=True)]
        root = f"{Path(raw.name)}/" if Path(raw.name).is_dir() else ""
        return Table(columns, list(_groups(findings, root)), title, schema="data-check/1")
    columns = [Column("level", state=True), *(Column(name) for name in ("kind", "class", "file", "detail"))]
    rows = [{"level": f.level, "kind": f.kind, "class": f.label, "file": f.file, "detail": f.detail} for f in findings]
    return Table(columns, rows, title, schema="data-check/1")


def _count(raw: "Raw") -> str:
    rows, others = sum(len(rows.labels) for rows in raw.parts.values()), len(raw.ignored)
    names = count_of_names(raw, len(raw.classes))
    ignored = f", {others} other file{'s' * (others > 1)} left out" if others else ""
    return f"{rows:,} {raw.kind}{', ' * bool(names)}{names}{ignored}"


def count_of_names(raw: "Raw", classes: int) -> str:
    """The number of classes or targets, "10 classes" or "3 targets"; empty for texts without labels."""
    if raw.targets:
        return f"{len(raw.targets)} target{'s' * (len(raw.targets) > 1)}"
    return f"{classes} classes" if raw.has_classes else ""


def _groups(findings: "Sequence[Finding]", root: str) -> Iterator[dict[str, str]]:
    kinds = dict.fromkeys((finding.level, finding.kind) for finding in findings)
    for level, kind in kinds:
        same = [finding for finding in findings if (finding.level, finding.kind) == (level, kind)]
        detail = " ".join(part for part in (same[0].file.removeprefix(root), same[0].detail) if part)
        more = f"; +{len(same) - 1:,}" if len(same) > 1 else ""
        count = "" if level == "note" or kind[0].isdigit() else f"{len(same):,} "
        yield {"level": level, "kind": f"{count}{kind}", "detail": f"{detail}{more}"}
