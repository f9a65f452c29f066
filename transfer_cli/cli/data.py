"""transfer data check DATA | WORDS: looks at every row and tells what would hurt. Exit 4 if a run would stop.
With -o FILE.yaml it writes what mends that, to be used as data=FILE.yaml. Never touches the user's own files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.errors import ConfigError, DataError, Fault, ResourceError

if TYPE_CHECKING:
    from transfer_cli.cli.options import Options
    from transfer_cli.data.contracts import Finding, Raw
    from transfer_cli.data.quality.cleanup_yaml import Mended

FAILED = 4
Json = dict[str, Any]


def main(options: Options) -> int:
    """Example: transfer data check ./pictures -o pictures.yaml"""
    from transfer_cli.data.open import scan
    from transfer_cli.data.quality.check import check
    from transfer_cli.data.quality.cleanup_yaml import mended
    from transfer_cli.report.screen import Screen

    _usage(options)
    screen = Screen.of(replace(options, out=None))
    values = _values(options)
    raw = scan(values["data"], options.runs / ".cache", plugins=values["plugins"])
    screen.note(f"reading {sum(len(rows.labels) for rows in raw.parts.values()):,} {raw.kind}")
    found = check(raw)
    table = _table(raw, found.findings, grouped=screen.format == "table" and not options.verbose)
    failed = any(finding.level == "FAIL" for finding in found.findings)
    notes, made = [_as_data(raw, values, options, found.findings)], mended(raw, found)
    if options.out:
        notes.append(_write(raw, made, values, Path(options.out)))
    screen.show(replace(table, notes=notes, next=_next(raw, values["data"], options, worth=any(made))))
    return FAILED if failed else 0


def _usage(options: Options) -> None:
    if options.args[:1] != ("check",) or len(options.args) > 2 or not (options.args[1:] or options.words):
        asked = " ".join(options.args) or None
        raise ConfigError(Fault("data", "the command is: transfer data check DATA", asked, ("check",)))
    if options.out and Path(options.out).suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(Fault("-o", "what mends the data is a .yaml file", str(options.out)))
    if options.out and Path(options.out).exists():
        raise ConfigError(Fault("-o", "exists already; choose another name", str(options.out)))


def _values(options: Options) -> Json:
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
        columns = [Column("level", state=True), Column("kind"), Column("detail", head="", wraps=True)]
        root = f"{Path(raw.name)}/" if Path(raw.name).is_dir() else ""
        return Table(columns, list(_groups(findings, root)), title, schema="data-check/1")
    columns = [Column("level", state=True), *(Column(name) for name in ("kind", "class", "file", "detail"))]
    rows = [{"level": f.level, "kind": f.kind, "class": f.label, "file": f.file, "detail": f.detail} for f in findings]
    return Table(columns, rows, title, schema="data-check/1")


def _count(raw: Raw) -> str:
    rows, others = sum(len(rows.labels) for rows in raw.parts.values()), len(raw.ignored)
    classes = "" if raw.task == "language" else f", {len(raw.classes)} classes"
    left = f", {others} other file{'s' * (others > 1)} left out" if others else ""
    return f"{rows:,} {raw.kind}{classes}{left}"


def _groups(findings: Sequence[Finding], root: str) -> Iterator[dict[str, str]]:
    kinds = dict.fromkeys((finding.level, finding.kind) for finding in findings)
    for level, kind in kinds:
        same = [finding for finding in findings if (finding.level, finding.kind) == (level, kind)]
        detail = " ".join(part for part in (same[0].file.removeprefix(root), same[0].detail) if part)
        more = f"; +{len(same) - 1:,}" if len(same) > 1 else ""
        count = "" if level == "note" or kind[0].isdigit() else f"{len(same):,} "
        yield {"level": level, "kind": f"{count}{kind}", "detail": f"{detail}{more}"}


def _as_data(raw: Raw, values: Json, options: Options, findings: Sequence[Finding]) -> str:
    """What a run would see, or why none starts."""
    from transfer_cli.data.open import describe

    if any(finding.level == "FAIL" for finding in findings):
        bad = {finding.file for finding in findings if finding.level == "FAIL"}
        return f"a run would stop here: {len(bad):,} FAIL"
    try:
        data = describe(values["data"], cache=options.runs / ".cache", plugins=values["plugins"])
    except DataError as error:
        return f"a run would stop here: {error.faults[0].line()}"
    assert data is not None, "the target is never none"
    sizes = ", ".join(f"{part} {data.sizes().get(part, 0):,}" for part in ("train", "val", "test"))
    cut = f", cut by seed {data.view.split_seed}" if "test" not in raw.parts else ""
    classes = "" if raw.task == "language" else f"{len(data.classes)} classes, "
    return f"as data: {classes}{sizes}{cut}"


def _write(raw: Raw, made: Mended, values: Json, out: Path) -> str:
    """The data node that was checked, with what mends it."""
    from transfer_cli.config.yamls import MAX_DATA_BYTES
    from transfer_cli.data.quality.cleanup_yaml import as_yaml, beside

    node = _spoken(values["data"], values["plugins"])
    if isinstance(node.get("path"), str):
        node["path"] = beside(node["path"], out)
    head = (
        f"# {' '.join(raw.name.split())} as `transfer data check` found it.   transfer run data={shlex.quote(str(out))}"
    )
    content = f"{head}\n{as_yaml(node, made)}".encode()
    if len(content) > MAX_DATA_BYTES:
        text = f"{len(content):,} bytes of names, allowed {MAX_DATA_BYTES:,}; mend the data first"
        raise DataError(Fault("-o", text, str(out)))
    try:
        with out.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise ResourceError(Fault("-o", f"cannot be written: {error.strerror}", str(out))) from None
    rows = len(made.skipped())
    return f"{len(made.rename)} renamed, {rows:,} left out, {len(made.groups):,} groups kept together → {out}"


def _spoken(node: Json, plugins: Sequence[str]) -> Json:
    """The settings of a data node that are not what they would be anyway."""
    from transfer_cli.config.check import settings
    from transfer_cli.config.signatures import signature

    known = signature("data", node["family"], plugins).params | settings("View")
    return {key: value for key, value in node.items() if key not in known or value != known[key].default}


def _next(raw: Raw, node: Mapping[str, Any], options: Options, *, worth: bool) -> str:
    """The command to go on with: write down what mends the data, if anything does, or run."""
    if worth and not options.out:
        words = shlex.join([*options.args[1:], *options.words])
        return f"transfer data check {words} -o {Path(raw.name.split()[0]).stem or 'mended'}.yaml"
    others = [word for word in options.words if not word.startswith("data=")]
    data = options.out or next((word[5:] for word in options.words if word.startswith("data=")), None)
    data = data or (options.args[1:] or (raw.name,))[0]
    if node["family"] in ("folder", "csv") and not any(word.startswith(("strategy=", "weights=")) for word in others):
        others.append("strategy=scratch")
    return f"transfer run {shlex.join([f'data={data}', *others])}"
