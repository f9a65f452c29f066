"""Turns words into a resolved, checked configuration, or raises all faults of the words at once. Combines the other
files of config/; other parts of the program call only the functions here."""

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
    """The configuration of one run. `values`: checked plain values with defaults. `choices`: word -> chosen name.
    `words`: as typed. `search`: the user's configuration folders. `changed`: dotted key -> (value without the user's
    words, value)."""

    values: Json
    choices: dict[str, str]
    words: tuple[str, ...]
    search: tuple[Path, ...] = ()
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def load_all(
    words: Sequence[str], *, multirun: bool = False, seeds: int | None = None, config_dirs: Sequence[Path] = ()
) -> list[Config]:
    """The configuration of each run of a sweep. Raises one error with all faults of all runs."""
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
    """The configuration of words with one value each. With `check=False` it is composed but not checked, for display.
    Raises ConfigError (DataError if all faults concern data) with all faults."""
    loader = Loader(words, config_dirs)
    values, changed = loader.values(check)
    if loader.errors:
        raise _joined(loader.errors)
    return Config(values, loader.choices.named, tuple(words), loader.search, changed)


def load_stored(values: Json, plugins: Sequence[str] = ()) -> Json:
    """Checks a configuration from a run directory like a new one. Plugins run code, so a stored configuration may only
    name those in `plugins`. Raises ConfigError."""
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
    """The checked node of a model by its name, as after `model=`; `settings` override its values. `key`: the setting
    that names it, for messages. Raises ConfigError."""
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
    """One error with every fault once. It is a ConfigError if any of the errors is one."""
    kind = next((type(error) for error in errors if error.code == ConfigError.code), type(errors[0]))
    return kind(*dict.fromkeys(fault for error in errors for fault in error.faults))
