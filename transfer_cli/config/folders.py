"""The folders of YAML files and the options of each group. Uses only the standard library and scandir, because `list`
and completion must be fast. Reads at most the comment lines of a file."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault

ROOT = "transfer.yaml"  # not config.yaml, because ./conf/config.yaml may belong to another program
GROUPS = ("strategy", "data", "model", "task", "method", "predictor", "trainer", "runtime", "experiment")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@cache
def conf_dir() -> Path:
    """The folder of the built-in YAML files: inside the package in a wheel, next to the package in a checkout."""
    package = Path(__file__).parents[1]
    return next(place for place in (package / "conf", package.parent / "conf") if (place / ROOT).is_file())


def user_dirs(given: Sequence[Path]) -> tuple[Path, ...]:
    """The user's configuration folders: those in `given`, then ./conf if it exists. Raises ConfigError if a given
    folder does not exist."""
    absent = [Fault("--config-dir", "no such folder", str(place)) for place in given if not place.is_dir()]
    if absent:
        raise ConfigError(*absent)
    places = [place.resolve() for place in (*given, Path("conf")) if place.is_dir()]
    return tuple(dict.fromkeys(place for place in places if place != conf_dir().resolve()))


def options(group: str, search: Sequence[Path] = ()) -> list[str]:
    """The names that are allowed after `group=`, sorted."""
    return sorted({name for place in (conf_dir(), *search) for name in _names(place / group)})


def find_option(group: str, name: str, search: Sequence[Path] = ()) -> Path | None:
    """The YAML file of an option; None if there is none, or if the name could lead out of the folder."""
    places = (conf_dir(), *search) if NAME.fullmatch(name) else ()
    return next((path for place in places if (path := place / group / f"{name}.yaml").is_file()), None)


def describe_option(group: str, name: str, search: Sequence[Path] = ()) -> str:
    """The description of an option: the first comment line of its YAML file."""
    path = find_option(group, name, search)
    if path is None:
        return ""
    with path.open(encoding="utf-8") as lines:
        comments = (line.lstrip("# ").strip() for line in lines if line.startswith("#"))
        return next((text for text in comments if not text.startswith("@package")), "")


def hidden(search: Sequence[Path]) -> list[Fault]:
    """A fault for each user file that has the same name as another, because the name would be ambiguous."""
    owners = {(group, name): conf_dir() for group in GROUPS for name in _names(conf_dir() / group)}
    faults = []
    for place in search:
        for group in GROUPS:
            for name in _names(place / group):
                if (owner := owners.setdefault((group, name), place)) != place:
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
