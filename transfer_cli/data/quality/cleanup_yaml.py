"""A data YAML written from the findings of `data check`: names that mean one class, rows to leave out and why, copies
that stay together. The user's files do not change; curate.py applies the YAML."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transfer_cli.data.contracts import Finding, Raw
from transfer_cli.data.quality.check import Checked
from transfer_cli.data.quality.copies import is_cut, stays
from transfer_cli.errors import DataError, Fault

LABELS = "of one content, under two labels"
PARTS = "copies of rows of a later part"


class Mended(NamedTuple):
    """`rename`, `skip` and `groups` of a data node. `skip`: reason -> names of rows."""

    rename: dict[str, str]
    skip: dict[str, list[str]]
    groups: list[list[str]]

    def skipped(self) -> list[str]:
        return [name for names in self.skip.values() for name in names]


def mended(raw: Raw, checked: Checked) -> Mended:
    """What to change so that a run starts: rows that would stop it are left out, and training rows that are also in a
    later part or have two labels. Test rows stay, because results on them are compared with published ones."""
    skip: dict[str, list[str]] = {}
    for finding in checked.findings:
        if finding.level == "FAIL":
            skip.setdefault(finding.kind, []).append(_inside(raw, finding))
    groups = []
    for rows in checked.groups:
        early = [row.name for row in rows if row.part != rows[-1].part]
        rest = rows[len(early) :]
        if early:
            skip.setdefault(PARTS, []).extend(early)
        # rows of one content may have different numbers or sets of labels; two classes contradict each other
        if not raw.targets and rest[0].part == "train" and len({row.label for row in rest}) > 1:
            skip.setdefault(LABELS, []).extend(row.name for row in rest)
        elif len(rest) > 1 and is_cut(raw, rest[0].part) and not stays(raw, rest):
            groups.append([row.name for row in rest])
    return Mended(checked.rename, {why: list(dict.fromkeys(names)) for why, names in skip.items()}, groups)


def _inside(raw: Raw, finding: Finding) -> str:
    """The name of a finding relative to the data; the reader may have put a path in front of it."""
    own = (raw.name, Path(raw.name).parent, *{path.parent for path in raw.sources})
    places = own if finding in raw.faults else ()
    inside = (finding.file.removeprefix(f"{place}/") for place in places if finding.file.startswith(f"{place}/"))
    return next(inside, finding.file)


def as_yaml(node: Mapping[str, Any], cleanup: Mended) -> str:
    """The text of a data YAML: settings of the node, then what was found. DataError for a name that no YAML holds."""
    known = {key: value for key, value in node.items() if key not in Mended._fields}
    lines = [f"{key}: {_plain(value)}" for key, value in known.items()]
    rename = {**(node.get("rename") or {}), **cleanup.rename}
    before = {"left out before": skipped} if (skipped := node.get("skip")) else {}
    groups = [*(node.get("groups") or []), *cleanup.groups]
    if rename:
        lines += ["rename:  # names that mean one class", *(f"  {_plain(k)}: {_plain(v)}" for k, v in rename.items())]
    if before or cleanup.skip:
        lines += ["skip:", *_reasons({**before, **cleanup.skip})]
    if groups:
        lines += ["groups:  # copies, which a cut keeps in one part", *(f"- {_plain(group)}" for group in groups)]
    return "\n".join(lines) + "\n"


def _reasons(skip: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for why, names in skip.items():
        yield f"# {why}"
        yield from (f"- {_plain(name)}" for name in names)


def _plain(value: Any) -> str:
    """One value in flow style; texts are quoted so that none is read as a number or a date."""
    import yaml

    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(Fault("-o", "a name is no UTF-8, which no YAML holds; rename the file", value)) from None
    if "${" in value:
        raise DataError(Fault("-o", "${ in a name would be read as a reference; rename the file", value))
    text: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=2**20)
    return text.rstrip("\n")


def beside(path: str, out: Path) -> str:
    """A path of a data node as it stands in a YAML file at `out`."""
    return os.path.relpath(Path(path).expanduser(), out.parent)
