"""Where YAML files lie and which options a group has. Standard library only, by scandir: `list` and completion live
on it. Never reads more of a file than its first comment line."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault

ROOT = "transfer.yaml"  # not config.yaml: a foreign ./conf/config.yaml must not be taken for ours
GROUPS = ("strategy", "data", "model", "task", "method", "predictor", "trainer", "runtime", "experiment")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@cache
def conf_dir() -> Path:
    """Folder of the program's own YAML files: inside the wheel, beside the package in a checkout."""
    package = Path(__file__).parents[1]
    return next(place for place in (package / "conf", package.parent / "conf") if (place / ROOT).is_file())


def user_dirs(given: Sequence[Path]) -> tuple[Path, ...]:
    """Configuration folders besides our own: those given, then ./conf if there is one. Raises ConfigError."""
    absent = [Fault("--config-dir", "no such folder", str(place)) for place in given if not place.is_dir()]
    if absent:
        raise ConfigError(*absent)
    places = [place.resolve() for place in (*given, Path("conf")) if place.is_dir()]
    return tuple(dict.fromkeys(place for place in places if place != conf_dir().resolve()))


def options(group: str, search: Sequence[Path] = ()) -> list[str]:
    """Names that may stand after `group=`, sorted."""
    return sorted({name for place in (conf_dir(), *search) for name in _names(place / group)})


def find_option(group: str, name: str, search: Sequence[Path] = ()) -> Path | None:
    """The YAML file of an option. Names that could leave the folder have none."""
    places = (conf_dir(), *search) if NAME.fullmatch(name) else ()
    return next((path for place in places if (path := place / group / f"{name}.yaml").is_file()), None)


def describe_option(group: str, name: str, search: Sequence[Path] = ()) -> str:
    """First comment line of the option's YAML file: what it is."""
    path = find_option(group, name, search)
    if path is None:
        return ""
    with path.open(encoding="utf-8") as lines:
        comments = (line.lstrip("# ").strip() for line in lines if line.startswith("#"))
        return next((text for text in comments if not text.startswith("@package")), "")


def hidden(search: Sequence[Path]) -> list[Fault]:
    """A fault for each user file that has the name of another: which of the two is meant would be a guess."""
    seen = {(group, name): conf_dir() for group in GROUPS for name in _names(conf_dir() / group)}
    faults = []
    for place in search:
        for group in GROUPS:
            for name in _names(place / group):
                if (owner := seen.setdefault((group, name), place)) != place:
                    whose = "the built-in one" if owner == conf_dir() else str(owner / group / f"{name}.yaml")
                    faults.append(
                        Fault(f"{place / group / name}.yaml", f"has the name of {whose}", do="rename the file")
                    )
    return faults


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".yaml"))
    except (FileNotFoundError, NotADirectoryError):
        return
