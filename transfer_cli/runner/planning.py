"""Plans the runs that words describe. Missing data are fetched if the network may be used, and all faults are raised
together."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from transfer_cli.config.compose import Config
from transfer_cli.errors import ConfigError, DataError, TransferError
from transfer_cli.extras import absent
from transfer_cli.launch.launcher import check
from transfer_cli.plan.plan import Plan
from transfer_cli.plan.planner import Opened, plan
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options


def fetch_hub(words: Sequence[str], options: Options, screen: Screen) -> None:
    """Fetches the repositories that `weights=hf:ORG/NAME` names, because planning reads their configuration. A failed
    download is only noted here; planning then raises the error that says what to do."""
    from transfer_cli.config.pretrained import HUB, REPOSITORY, is_folder_of_weights
    from transfer_cli.data.fetch.download import forbidden

    names_of_words = [word.removeprefix("weights=").split(",") for word in words if word.startswith("weights=")]
    for name in [name for names in names_of_words for name in names if name.startswith(HUB)]:
        if forbidden(options.offline) or is_folder_of_weights(name) or not REPOSITORY.fullmatch(name[len(HUB) :]):
            continue
        from transfer_cli.data.fetch import hub

        try:
            hub.bring(name.removeprefix(HUB), talk=screen.note)
        except DataError as error:
            screen.note(error.faults[0].line())


def fetch_missing(configs: Sequence[Config], options: Options, screen: Screen) -> None:
    """Fetches built-in data sets that are not on this machine. A failed download is only noted here; planning then
    raises the error that names the file, the folder and what to do."""
    from transfer_cli.data.fetch.datasets import absent, bring

    if options.offline or os.environ.get("TRANSFER_OFFLINE") == "1":
        return
    cache = options.runs / ".cache"
    for name in dict.fromkeys(name for config in configs for name in absent(config.values, cache)):
        try:
            bring(name, cache, talk=screen.note)
        except DataError as error:
            screen.note(error.faults[0].line())


def plan_all(configs: Sequence[Config], options: Options) -> list[Plan]:
    """The plan of every run. Raises one TransferError with the faults of all runs."""
    plans: list[Plan] = []
    errors: list[TransferError] = []
    opened: Opened = {}
    for config in configs:
        try:
            _check_extras(config.values["runtime"])
            plans.append(plan(config, runs=options.runs, opened=opened))
        except TransferError as error:
            errors.append(error)
    if errors:
        kind = type(min(errors, key=lambda error: error.code))  # a ConfigError has the smallest code and goes first
        raise kind(*dict.fromkeys(fault for error in errors for fault in error.faults))
    return plans


def plan_one(config: Config, options: Options) -> Plan:
    """The plan of one run. Raises as `plan_all`."""
    return plan_all([config], options)[0]


def _check_extras(runtime: Mapping[str, Any]) -> None:
    """Raises ConfigError if the launcher or the tracker needs an extra that is not installed."""
    check(runtime)
    kind = runtime["tracker"]
    if kind != "none" and (faults := absent(kind, "runtime.tracker", kind)):
        raise ConfigError(*faults)
