"""transfer fetch NAME [--from FILE]: bring a data set or a model's ImageNet weights, checked against what is published,
or a repository of the Hugging Face hub, hf:ORG/NAME. Without NAME: what can be fetched, and what is here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transfer_cli.errors import ConfigError, Fault

if TYPE_CHECKING:
    from transfer_cli.cli.options import Options
    from transfer_cli.report.screen import Screen


def main(options: Options) -> int:
    """Example: transfer fetch usps"""
    from transfer_cli.report.screen import Screen

    screen = Screen.of(options)
    if options.words or len(options.args) > 1:
        raise ConfigError(Fault("fetch", "one name at a time: transfer fetch NAME [--from FILE]"))
    if not options.args:
        return _list(options, screen)
    (name,) = options.args
    if name.startswith("hf:"):
        return _hub(name, options, screen)
    return _take(name, options, screen) if options.from_file else _bring(name, options, screen)


def _list(options: Options, screen: Screen) -> int:
    from transfer_cli.data.fetch.datasets import SETS, here
    from transfer_cli.report.tables import Column, Table

    cache = options.runs / ".cache"
    rows = [
        {
            "name": name,
            "state": "here" if here(name, cache) else "absent",
            "size": round(one.mb * 1e6),
            "licence": one.licence,
        }
        for name, one in SETS.items()
    ]
    columns = [Column("name"), Column("state"), Column("size", "B"), Column("licence")]
    note = "also: the ImageNet weights of any torchvision model, such as resnet18; hf:ORG/NAME of the Hugging Face hub"
    screen.show(Table(columns, rows, notes=[note], next="transfer fetch mnist", schema="fetch/1"))
    return 0


def _bring(name: str, options: Options, screen: Screen) -> int:
    from transfer_cli.data.fetch import datasets

    cache = options.runs / ".cache"
    datasets.wanted(name)  # an unknown name is told before anything else
    if name in datasets.SETS:
        datasets.bring(name, cache, offline=options.offline, talk=screen.note)
        screen.say(f"{name} is here")
        screen.command(f"transfer data check {name}")
    else:
        screen.say(str(datasets.bring_weights(name, cache, offline=options.offline, talk=screen.note)))
        screen.command(f"transfer run model={name} weights=imagenet data=cifar10")
    return 0


def _hub(name: str, options: Options, screen: Screen) -> int:
    from transfer_cli.config.pretrained import HUB, REPOSITORY
    from transfer_cli.data.fetch import hub

    repository = name.removeprefix(HUB)
    if not REPOSITORY.fullmatch(repository) or options.from_file:
        do = f"weights={options.from_file}" if options.from_file else None
        raise ConfigError(Fault("fetch", "wants hf:ORG/NAME, and no --from", name, do=do))
    screen.say(str(hub.bring(repository, offline=options.offline, talk=screen.note)))
    screen.command(f"transfer run weights={name} data=./pictures")
    return 0


def _take(name: str, options: Options, screen: Screen) -> int:
    from transfer_cli.data.fetch.datasets import take

    file = Path(str(options.from_file)).expanduser()
    gone = take(name, file, options.runs / ".cache")
    if gone:
        screen.say(f"taken; still missing: {', '.join(path.name for path in gone)}")
        screen.command(f"transfer fetch {name} --from FILE")
    else:
        screen.say(f"{name} is here")
    return 0
