"""Checks every row of a data set for what would stop or spoil a run, and writes a YAML file of settings that repair it.
The user's own files are never changed."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.config.compose import load
from transfer_cli.config.words import expand
from transfer_cli.errors import DataError, Fault, ResourceError
from transfer_cli.report.data_check_table import count_of_names
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options

if TYPE_CHECKING:
    from transfer_cli.data.contracts import Finding, Raw
    from transfer_cli.data.quality.cleanup_yaml import Mended


@dataclass(frozen=True)
class DataCheck:
    """The result of a check. `node`: the node of the configuration that describes the data; `raw`: the data as they
    are; `findings`: the problems; `mended`: the settings that repair them; `as_data`: a sentence on what a run would
    read."""

    node: Mapping[str, Any]
    plugins: Sequence[str]
    raw: "Raw"
    findings: "Sequence[Finding]"
    mended: "Mended"
    as_data: str

    @property
    def failed(self) -> bool:
        """Whether a run would stop at one of the findings."""
        return any(finding.level == "FAIL" for finding in self.findings)


def check_data(options: Options, screen: Screen) -> DataCheck:
    """Checks the data that the arguments after `check`, or the words, name. Raises ConfigError and DataError."""
    from transfer_cli.data.open import scan
    from transfer_cli.data.quality.check import check
    from transfer_cli.data.quality.cleanup_yaml import mended
    from transfer_cli.kinds._kind import kind_named

    values = _values(options)
    node, plugins, cache = values["data"], values["plugins"], options.runs / ".cache"
    raw = scan(node, cache, plugins=plugins)
    screen.note(f"reading {sum(len(rows.labels) for rows in raw.parts.values()):,} {raw.kind}")
    result = check(raw, kind_named(raw.kind, plugins))
    return DataCheck(
        node, plugins, raw, result.findings, mended(raw, result), _as_data(raw, values, cache, result.findings)
    )


def _values(options: Options) -> dict[str, Any]:
    """The configuration that the words describe. The default strategy is scratch, because a check needs no weights."""
    words = [f"data={name}" for name in options.args[1:]] + list(options.words)
    if not any(word.startswith("strategy=") for word in words):
        words.append("strategy=scratch")
    (single,) = expand(words, multirun=False, seeds=None)
    return load(single, config_dirs=options.config_dirs).values


def _as_data(raw: "Raw", values: Mapping[str, Any], cache: Path, findings: "Sequence[Finding]") -> str:
    """A sentence on the data that a run would read, or on why it would stop."""
    from transfer_cli.data.open import describe

    if bad := {finding.file for finding in findings if finding.level == "FAIL"}:
        return f"a run would stop here: {len(bad):,} FAIL"
    try:
        data = describe(values["data"], cache=cache, plugins=values["plugins"])
    except DataError as error:
        return f"a run would stop here: {error.faults[0].line()}"
    assert data is not None, "the target is never none"
    sizes = ", ".join(f"{part} {data.sizes().get(part, 0):,}" for part in ("train", "val", "test"))
    cut = f", cut by seed {data.view.split_seed}" if "test" not in raw.parts else ""
    names = count_of_names(raw, len(data.classes))
    return f"as data: {names}{', ' * bool(names)}{sizes}{cut}"


def write_cleanup(checked: DataCheck, out: Path) -> str:
    """Writes the data node with the settings that repair the data to `out`, a new file; returns a summary of them.
    Raises DataError if the file would be too large to be read again, ResourceError if it cannot be written."""
    from transfer_cli.config.yamls import MAX_DATA_BYTES
    from transfer_cli.data.quality.cleanup_yaml import as_yaml, beside

    node, mended = _changed_settings(checked.node, checked.plugins), checked.mended
    if isinstance(node.get("path"), str):
        node["path"] = beside(node["path"], out)
    name = " ".join(checked.raw.name.split())
    head = f"# {name} as `transfer data check` found it.   transfer run data={shlex.quote(str(out))}"
    content = f"{head}\n{as_yaml(node, mended)}".encode()
    if len(content) > MAX_DATA_BYTES:
        text = f"{len(content):,} bytes of names, allowed {MAX_DATA_BYTES:,}; correct the data first"
        raise DataError(Fault("-o", text, str(out)))
    try:
        with out.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise ResourceError(Fault("-o", f"cannot be written: {error.strerror}", str(out))) from None
    rows = len(mended.skipped())
    return f"{len(mended.rename)} renamed, {rows:,} left out, {len(mended.groups):,} groups kept together → {out}"


def _changed_settings(node: Mapping[str, Any], plugins: Sequence[str]) -> dict[str, Any]:
    """The settings of a data node that differ from their defaults."""
    from transfer_cli.config.check import settings
    from transfer_cli.config.signatures import signature

    allowed = signature("data", node["family"], plugins).params | settings("View")
    return {key: value for key, value in node.items() if key not in allowed or value != allowed[key].default}


def next_command(checked: DataCheck, options: Options) -> str:
    """The suggested next command: write the settings that repair the data, if there are any; else run."""
    if any(checked.mended) and not options.out:
        words = shlex.join([*options.args[1:], *options.words])
        return f"transfer data check {words} -o {Path(checked.raw.name.split()[0]).stem or 'mended'}.yaml"
    others = [word for word in options.words if not word.startswith("data=")]
    data = options.out or next((word[5:] for word in options.words if word.startswith("data=")), None)
    data = data or (options.args[1:] or (checked.raw.name,))[0]
    own_files = checked.node["family"] in ("folder", "csv")
    if own_files and not any(word.startswith(("strategy=", "weights=")) for word in others):
        others.append("strategy=scratch")
    return f"transfer run {shlex.join([f'data={data}', *others])}"
