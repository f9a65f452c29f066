"""Fetches data sets and weights by name: what can be fetched, from where, and the suggested next command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer_cli.config.pretrained import HUB, REPOSITORY
from transfer_cli.data.fetch import datasets, hub
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.runner.options import Options

Talk = Callable[[str], None]
Fetched = tuple[str, str]  # a sentence on what was fetched, and the suggested next command ("": none)


def known_data_sets(cache: Path) -> list[dict[str, Any]]:
    """One row for each data set that can be fetched: name, state (here or absent), size in bytes, licence."""
    return [
        {
            "name": name,
            "state": "here" if datasets.here(name, cache) else "absent",
            "size": round(one.mb * 1e6),
            "licence": one.licence,
        }
        for name, one in datasets.SETS.items()
    ]


def fetch(name: str, options: Options, talk: Talk) -> Fetched:
    """Fetches a data set, a repository of the Hugging Face hub, or the ImageNet weights of a model; with --from it
    takes a data set from a file. Raises ConfigError for an unknown name, DataError if the download fails."""
    if name.startswith(HUB):
        return _repository(name, options, talk)
    if options.from_file:
        return _from_file(name, options)
    cache = options.runs / ".cache"
    datasets.wanted(name)  # raises for an unknown name, before anything else
    if name in datasets.SETS:
        datasets.bring(name, cache, offline=options.offline, talk=talk)
        return f"{name} is here", f"transfer data check {name}"
    path = datasets.bring_weights(name, cache, offline=options.offline, talk=talk)
    return str(path), f"transfer run model={name} weights=imagenet data=cifar10"


def _repository(name: str, options: Options, talk: Talk) -> Fetched:
    repository = name.removeprefix(HUB)
    if not REPOSITORY.fullmatch(repository) or options.from_file:
        do = f"weights={options.from_file}" if options.from_file else None
        raise ConfigError(Fault("fetch", "needs hf:ORG/NAME, and no --from", name, do=do))
    path = hub.bring(repository, offline=options.offline, talk=talk)
    return str(path), f"transfer run weights={name} data=./pictures"


def _from_file(name: str, options: Options) -> Fetched:
    missing = datasets.take(name, Path(str(options.from_file)).expanduser(), options.runs / ".cache")
    if not missing:
        return f"{name} is here", ""
    names = ", ".join(path.name for path in missing)
    return f"taken; still missing: {names}", f"transfer fetch {name} --from FILE"
