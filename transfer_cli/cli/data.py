"""transfer data check DATA | WORDS: opens every picture and tells what would hurt. Exit 4 if a run would stop.
With -o FILE.csv it writes a table of what is good, to be used as data=FILE.csv. Never touches the user's own files."""

from __future__ import annotations

import csv
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.errors import ConfigError, DataError, Fault, ResourceError

if TYPE_CHECKING:
    from transfer_cli.cli.options import Options
    from transfer_cli.data.raw import Finding, Raw

FAILED = 4


def main(options: Options) -> int:
    """Example: transfer data check ./pictures -o pictures.csv"""
    from transfer_cli.data.check import check
    from transfer_cli.data.describe import scan
    from transfer_cli.report.screen import Screen

    _usage(options)
    screen = Screen.of(replace(options, out=None))
    values = _values(options)
    raw = scan(values["data"], options.runs / ".cache", plugins=values["plugins"])
    screen.note(f"reading {sum(len(rows.labels) for rows in raw.parts.values()):,} pictures")
    findings = check(raw)
    table = _table(raw, findings, grouped=screen.format == "table" and not options.verbose)
    failed = any(finding.level == "FAIL" for finding in findings)
    notes = [_as_data(raw, values, options, findings)]
    if options.out:
        notes.append(_write(raw, findings, Path(options.out)))
    screen.show(replace(table, notes=notes, next=_next(raw, values["data"], options, failed)))
    return FAILED if failed else 0


def _usage(options: Options) -> None:
    if options.args[:1] != ("check",) or len(options.args) > 2 or not (options.args[1:] or options.words):
        asked = " ".join(options.args) or None
        raise ConfigError(Fault("data", "the command is: transfer data check DATA", asked, ("check",)))
    if options.out and Path(options.out).suffix.lower() != ".csv":
        raise ConfigError(Fault("-o", "the table of good pictures is a .csv file", str(options.out)))
    if options.out and Path(options.out).exists():
        raise ConfigError(Fault("-o", "exists already; choose another name", str(options.out)))


def _values(options: Options) -> dict[str, Any]:
    """The configuration that the words describe; scratch, because no weights are asked for to look at data."""
    from transfer_cli.config.compose import load
    from transfer_cli.config.words import expand

    words = [f"data={name}" for name in options.args[1:]] + list(options.words)
    if not any(word.startswith("strategy=") for word in words):
        words.append("strategy=scratch")
    (single,) = expand(words, multirun=False, seeds=None)
    return load(single, config_dirs=options.config_dirs).values


def _table(raw: Raw, findings: Sequence[Finding], *, grouped: bool) -> Any:
    """People: one example and a count of each kind. Machines, and -v: every finding."""
    from transfer_cli.report.tables import Column, Table

    title = f"{raw.name}: {raw.layout or 'named data set'}; {_count(raw)}"
    if grouped:
        columns = [Column("level", state=True), Column("kind"), Column("detail", head="")]
        return Table(columns, list(_groups(findings, f"{Path(raw.name)}/")), title, schema="data-check/1")
    columns = [Column("level", state=True), *(Column(name) for name in ("kind", "class", "file", "detail"))]
    rows = [{"level": f.level, "kind": f.kind, "class": f.label, "file": f.file, "detail": f.detail} for f in findings]
    return Table(columns, rows, title, schema="data-check/1")


def _count(raw: Raw) -> str:
    rows, others = sum(len(rows.labels) for rows in raw.parts.values()), len(raw.ignored)
    return f"{rows:,} pictures, {len(raw.classes)} classes" + (
        f", {others} other file{'s' * (others > 1)} left out" if others else ""
    )


def _groups(findings: Sequence[Finding], root: str) -> Iterator[dict[str, str]]:
    kinds = dict.fromkeys((finding.level, finding.kind) for finding in findings)
    for level, kind in kinds:
        same = [finding for finding in findings if (finding.level, finding.kind) == (level, kind)]
        detail = " ".join(part for part in (same[0].file.removeprefix(root), same[0].detail) if part)
        more = f"; +{len(same) - 1}" if len(same) > 1 else ""
        count = "" if level == "note" else f"{len(same)} "
        yield {"level": level, "kind": f"{count}{kind}", "detail": f"{detail}{more}"}


def _as_data(raw: Raw, values: dict[str, Any], options: Options, findings: Sequence[Finding]) -> str:
    """What a run would see, or why none starts."""
    from transfer_cli.data.describe import describe

    if any(finding.level == "FAIL" for finding in findings):
        bad = {finding.file for finding in findings if finding.level == "FAIL"}
        return f"a run would stop here: {len(bad)} FAIL"
    try:
        data = describe(values["data"], cache=options.runs / ".cache", plugins=values["plugins"])
    except DataError as error:
        return f"a run would stop here: {error.faults[0].line()}"
    assert data is not None, "the target is never none"
    sizes = ", ".join(f"{part} {data.sizes().get(part, 0):,}" for part in ("train", "val", "test"))
    cut = f", cut by seed {data.view.split_seed}" if "test" not in raw.parts else ""
    return f"as data: {len(data.classes)} classes, {sizes}{cut}"


def _write(raw: Raw, findings: Sequence[Finding], out: Path) -> str:
    """Path, label and part of every readable picture, as a table that data=FILE.csv takes."""
    from transfer_cli.data.check import entries

    bad = {finding.file for finding in findings if finding.level == "FAIL"}
    good = [entry for entry in entries(raw) if entry.name not in bad]
    if not good:
        raise DataError(Fault("-o", f"{raw.name} has no readable picture files to list", str(out)))
    parts = len(raw.parts) > 1
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", *(["part"] if parts else [])])
            for entry in good:
                path = os.path.relpath(entry.path, out.parent)
                writer.writerow([path, entry.label, *([entry.part] if parts else [])])
    except OSError as error:
        raise ResourceError(Fault("-o", f"cannot be written: {error.strerror}", str(out))) from None
    return f"{len(good):,} pictures → {out}"


def _next(raw: Raw, node: dict[str, Any], options: Options, failed: bool) -> str:
    """The command to go on with: write down what is good, or run."""
    if failed and not options.out:
        files = any(rows.files for rows in raw.parts.values())
        return f"transfer data check {shlex.quote(raw.name)} -o {Path(raw.name).stem or 'good'}.csv" if files else ""
    others = [word for word in options.words if not word.startswith("data=")]
    if node["family"] in ("folder", "csv") and not any(word.startswith(("strategy=", "weights=")) for word in others):
        others.append("strategy=scratch")
    return f"transfer run {shlex.join([f'data={options.out or raw.name}', *others])}"
