"""Finds and reads run directories: RUN references and listings. Reads results.json and sweep.json only.

Runs are ordered by the file `.order`, to which each start appends its directory, because clocks may be set back."""

import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault, TransferError, nearest
from transfer_cli.rundir.note import read_note
from transfer_cli.rundir.schema import fault_in_results, fault_in_sweep
from transfer_cli.safe import safe, shown
from transfer_cli.store.disk import read_file
from transfer_cli.store.diskerrors import explained
from transfer_cli.store.lock import is_held

RESULTS, SWEEP, ORDER, SWEEPS = "results.json", "sweep.json", ".order", "sweeps"
CHECKS = {RESULTS: fault_in_results, SWEEP: fault_in_sweep}
UNREADABLE = "unreadable"  # the status of a directory whose document is not valid
# entries of a directory whose document is missing or unreadable
EMPTY: dict[str, Any] = {"words": [], "choices": {}, "config": {}, "stages": [], "metrics": {}, "headline": None,
                         "cost": {}, "fingerprints": {}}  # fmt: skip
DIRECTORY = re.compile(r"\d{8}T\d{6}Z-([a-z][0-9a-z]{5})")


def run_id(folder: Path) -> str:
    """The id at the end of a directory's name."""
    return folder.name.rpartition("-")[2]


class Unreadable(Exception):
    """A file is not a valid JSON document of its kind; the text says why."""


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name} is not a number of JSON")


DECODER = json.JSONDecoder(parse_constant=_no_constant)
SURROGATE = re.compile(rb"\\ud", re.IGNORECASE)


def parsed(path: Path, fault_in: Callable[[Any], str]) -> Any:
    """The JSON document of a file, checked by `fault_in`; None if there is no file. Raises Unreadable."""
    try:
        data = read_file(path)
        document = DECODER.decode(data.decode())
        if b"\\u" in data and SURROGATE.search(data):  # a lone surrogate cannot be written to any file or terminal
            json.dumps(document, ensure_ascii=False).encode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except TransferError as error:
        raise Unreadable(error.faults[0].text) from None
    except RecursionError:
        raise Unreadable("nested too deep") from None
    except ValueError:
        raise Unreadable("not a JSON document") from None
    if fault := fault_in(document):
        raise Unreadable(fault)
    return document


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is none or if it cannot be read. results.json and sweep.json must also be valid."""
    with suppress(Unreadable):
        document = parsed(path, CHECKS.get(path.name, lambda _: ""))
        return document if isinstance(document, dict) else None
    return None


def _subfolders(folder: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    return []


def folders(runs: Path, *, sweeps: bool = False) -> list[Path]:
    """All run (or sweep) directories, oldest start first. Those that the order file does not list come before, sorted
    by name."""
    names = [SWEEPS] if sweeps else [name for name in _subfolders(runs) if name != SWEEPS]
    paths = [f"{name}/{sub}" for name in names for sub in _subfolders(runs / name) if DIRECTORY.fullmatch(sub)]
    rank = {line.split()[0]: number for number, line in enumerate(_order(runs))}
    paths.sort(key=lambda path: (rank.get(path, -1), path.rpartition("/")[2]))
    return [runs / path for path in paths]


def _order(runs: Path) -> list[str]:
    """Lines `name/directory` or `name/directory sweep-id`, one for each start. The last line of a continued run
    counts."""
    with suppress(FileNotFoundError):
        return [line for line in read_file(runs / ORDER).decode("utf-8", "replace").splitlines() if line.strip()]
    return []


def append_order(runs: Path, folder: Path, sweep: str = "") -> None:
    """Appends the start of a run, or of a run of a sweep, to the order file. Raises StoreError or ResourceError."""
    path = runs / ORDER
    line = f"{folder.relative_to(runs)} {sweep}".strip() + "\n"
    with explained(path, len(line)):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def summary(folder: Path) -> dict[str, Any]:
    """results.json or sweep.json of a directory, checked, with its `path` and its `note` if it has one. The `status` is
    died if the document says running but no process holds the lock, and unreadable if the document is not valid;
    `fault` then says why."""
    try:
        document = parsed(folder / RESULTS, fault_in_results) or parsed(folder / SWEEP, fault_in_sweep)
        document = document or {"status": "running"}
    except Unreadable as why:
        document = {"status": UNREADABLE, "fault": str(why)}
    document = {"id": run_id(folder), "name": folder.parent.name, **EMPTY, **document, "path": str(folder)}
    if DIRECTORY.fullmatch(
        folder.name
    ):  # references find a run by its folder, so the id in the document does not count
        document["id"] = run_id(folder)
    if document["status"] == "running" and not is_held(folder / ".lock"):
        document["status"] = "died"
    return document | ({"note": note} if (note := read_note(folder)) else {})


def listing(runs: Path, *, sweeps: bool = False, limit: int | None = None) -> list[dict[str, Any]]:
    """`summary` of every run (or sweep), newest start first; at most `limit` of them are read."""
    return [summary(folder) for folder in folders(runs, sweeps=sweeps)[::-1][:limit]]


def find(runs: Path, ref: str = "last") -> list[Path]:
    """Run directories that a RUN reference means: `last`, `last:3`, a path, an id or its beginning, a glob over run
    names. A sweep stands for its runs, in order. Raises ConfigError if nothing matches or if an id is ambiguous."""
    if match := re.fullmatch(r"last(?::([1-9]\d*))?", ref):
        return _expanded(runs, _last(runs, int(match[1] or 1)), ref)
    if _is_run(Path(ref)) or ("/" in ref and not set(ref) & set("*?[")):
        return _expanded(runs, [_by_path(runs, ref)], ref)
    if set(ref) & set("*?["):
        return _by_glob(runs, ref)
    return _expanded(runs, [_by_id(runs, ref)], ref)


def started(runs: Path, ref: str = "last") -> dict[str, Any]:
    """`summary` of the one run or sweep that a reference names; a sweep is not replaced by its runs. Raises
    ConfigError."""
    if ref == "last":
        return summary(_last(runs, 1)[0])
    return summary(_by_path(runs, ref) if _is_run(Path(ref)) or "/" in ref else _by_id(runs, ref))


def _is_run(path: Path) -> bool:
    return (path / RESULTS).is_file() or (path / SWEEP).is_file()


def _by_path(runs: Path, ref: str) -> Path:
    for path in (Path(ref), runs / ref):
        if _is_run(path):
            return path
    raise ConfigError(_fault(ref, "no run directory there", do="transfer list"))


def _last(runs: Path, count: int) -> list[Path]:
    """The newest `count` starts, oldest first. A sweep counts as one start, and its runs do not count."""
    starts = dict.fromkeys(line.split()[0] for line in reversed(_order(runs)) if " " not in line)
    known = [runs / path for path in starts if (runs / path).is_dir()]
    known = known or folders(runs)[::-1]
    if not known:
        raise ConfigError(_fault("last", f"no runs in {shown(runs)} yet", do="transfer run experiment=hello"))
    return list(reversed(known[:count]))


def _by_glob(runs: Path, ref: str) -> list[Path]:
    matches = [
        path
        for path in folders(runs)
        if any(fnmatch.fnmatchcase(text, ref) for text in (path.parent.name, f"{path.parent.name}/{path.name}"))
    ]
    if not matches:
        near = nearest(ref, sorted({path.parent.name for path in folders(runs)}))
        raise ConfigError(_fault(ref, "no run name fits", near=near, do="transfer list"))
    return matches


def _by_id(runs: Path, ref: str) -> Path:
    known = {run_id(path): path for path in [*folders(runs), *folders(runs, sweeps=True)]}
    matches = [name for name in known if name.startswith(ref)] if len(ref) >= 3 else []
    if len(matches) == 1:
        return known[matches[0]]
    if ref in known:
        return known[ref]
    if matches:
        raise ConfigError(
            _fault(ref, f"{len(matches)} begin so: {', '.join(sorted(matches)[:5])}", do="give more letters")
        )
    if len(ref) < 3 and any(name.startswith(ref) for name in known):
        raise ConfigError(_fault(ref, "too short", do="give at least 3 letters"))
    begin = {name[: len(ref)]: path for name, path in sorted(known.items(), reverse=True)}
    near = nearest(ref, list(begin))
    raise ConfigError(_fault(ref, "none begins so", near=_described(begin[near]) if near else None, do="transfer list"))


def _fault(ref: str, text: str, *, near: str | None = None, do: str) -> Fault:
    return Fault(f"run {safe(ref[:80])}", text, nearest=near, do=do)


def _described(folder: Path) -> str:
    """`k7q2md (dann usps, 12 min ago)`: enough for a user to recognise the run."""
    document = summary(folder)
    choices = document.get("choices") or {}
    words = [str(choices[word]) for word in ("strategy", "data") if word in choices] or [str(document["name"])]
    return safe(f"{document['id']} ({' '.join(words)}, {ago(str(document.get('started', '')))})")


def ago(started: str) -> str:
    """`12 min ago`; after a week the date. `started` is a UTC time in ISO 8601."""
    try:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return "some time ago"
    for limit, unit, name in ((5400, 60, "min"), (129_600, 3600, "h"), (604_800, 86_400, "days")):
        if 0 <= age_s < limit:
            return f"{max(1, round(age_s / unit))} {name} ago"
    return started[:10]


def _expanded(runs: Path, matches: list[Path], ref: str) -> list[Path]:
    paths = list(dict.fromkeys(path for folder in matches for path in _runs_of(runs, folder)))
    if not paths:
        raise ConfigError(_fault(ref, "this sweep has no runs yet", do=f"transfer resume {safe(ref)}"))
    return paths


def _runs_of(runs: Path, folder: Path) -> Iterator[Path]:
    """The runs of a sweep that were started; a run stands for itself."""
    try:
        sweep = parsed(folder / SWEEP, fault_in_sweep)
    except Unreadable as why:
        raise ConfigError(_fault(run_id(folder), f"its sweep.json cannot be read: {why}", do="transfer list")) from None
    if sweep is None:
        yield folder
        return
    home = folder.parent.parent
    for row in sweep.get("runs") or []:
        path = home / str(row.get("path") or ".")
        # a path in sweep.json must not lead out of the runs folder
        if _is_run(path) and path.resolve().is_relative_to(home.resolve()):
            yield path
