"""Words -> one resolved, checked configuration, or every fault of the words at once.
Puts together what the other files of config/ do; the names other parts of the program call are here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_cli.config import words as wording
from transfer_cli.config.folders import conf_dir as conf_dir
from transfer_cli.config.folders import describe_option as describe_option
from transfer_cli.config.folders import options as options
from transfer_cli.config.loader import Loader, search_path
from transfer_cli.errors import ConfigError, Fault, TransferError

Json = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """One run's configuration. `values`: plain, checked, filled. `choices`: word -> name chosen. `words`: as typed.
    `search`: user folders looked in. `changed`: dotted key -> (without the user's words, now)."""

    values: Json
    choices: dict[str, str]
    words: tuple[str, ...]
    search: tuple[Path, ...] = ()
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def load_all(
    words: Sequence[str], *, multirun: bool = False, seeds: int | None = None, config_dirs: Sequence[Path] = ()
) -> list[Config]:
    """The configuration of each run the words stand for. Raises one error with all faults of all runs."""
    errors: list[TransferError] = []
    try:
        runs = wording.expand(words, multirun=multirun, seeds=seeds, search=search_path(words, config_dirs))
    except TransferError as error:
        errors.append(error)
        runs = [wording.first_values(words)]
    configs = []
    for run in runs:
        try:
            configs.append(load(run, config_dirs=config_dirs))
        except TransferError as error:
            errors.append(error)
    if errors:
        raise _joined(errors)
    return configs


def load(words: Sequence[str], *, config_dirs: Sequence[Path] = (), check: bool = True) -> Config:
    """The configuration of single-valued words; `check=False` leaves it as composed, to be looked at.
    Raises ConfigError (DataError if only data are to blame) with all faults."""
    loader = Loader(words, config_dirs)
    values, changed = loader.values(check)
    if loader.errors:
        raise _joined(loader.errors)
    return Config(values, loader.choices.named, tuple(words), loader.search, changed)


def load_stored(values: Json, plugins: Sequence[str] = ()) -> Json:
    """A configuration read back from a run directory, checked like a new one. Plugins run code, so a stored
    configuration may only name those in `plugins`. Raises ConfigError."""
    from transfer_cli.config.check import Checker
    from transfer_cli.config.values import problems

    foreign = [name for name in values.get("plugins") or [] if name not in plugins]
    faults = problems(values)
    if foreign:
        names = ",".join(map(str, foreign))
        faults.append(
            Fault("plugins", "named by the stored configuration only", names, do=f"say plugins=[{names}] to run it")
        )
    if not faults:
        checker = Checker({}, {}, lambda key: "the stored configuration")
        values = checker.config(values)
        faults = checker.faults
    if faults:
        raise ConfigError(*faults)
    return values


def model_named(
    name: str, search: Sequence[Path], plugins: Sequence[str], settings: Json | None = None, key: str = "model"
) -> Json:
    """The checked node of a model by its name, as after `model=`, with `settings` laid over it; `key` is the setting
    that names it. Raises ConfigError."""
    from transfer_cli.config import merge
    from transfer_cli.config.check import Checker
    from transfer_cli.config.choices import model_option

    option, own = model_option(key, name, search, plugins)
    values = merge.composed({"model": option}, search)
    merge.overlay(values, "model", own | (settings or {}))
    checker = Checker({}, {}, lambda key: None)
    checker.plugins = tuple(plugins)
    model = checker.model(values["model"])
    if checker.faults:
        raise ConfigError(*checker.faults)
    return model


def _joined(errors: Sequence[TransferError]) -> TransferError:
    """One error with every fault once; a fault of the words decides the exit code before one of data."""
    kind = next((type(error) for error in errors if error.code == ConfigError.code), type(errors[0]))
    return kind(*dict.fromkeys(fault for error in errors for fault in error.faults))
