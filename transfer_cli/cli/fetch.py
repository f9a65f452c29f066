"""transfer fetch NAME [--from FILE]: fetches a data set or the ImageNet weights of a model and checks the published
checksum, or fetches a repository of the Hugging Face hub, hf:ORG/NAME. Without NAME it lists what can be fetched and
what is here already."""

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.options import Options

ALSO = "also: the ImageNet weights of any torchvision model, such as resnet18; hf:ORG/NAME of the Hugging Face hub"


def main(options: Options) -> int:
    """Example: transfer fetch usps"""
    if options.words or len(options.args) > 1:
        raise ConfigError(Fault("fetch", "one name at a time: transfer fetch NAME [--from FILE]"))
    from transfer_cli.runner.fetching import fetch, known_data_sets

    screen = Screen.of(options)
    if not options.args:
        rows = known_data_sets(options.runs / ".cache")
        columns = [Column("name"), Column("state"), Column("size", "B"), Column("licence")]
        screen.show(Table(columns, rows, notes=[ALSO], next="transfer fetch mnist", schema="fetch/1"))
        return 0
    fetched, following = fetch(options.args[0], options, screen.note)
    screen.say(fetched)
    if following:
        screen.command(following)
    return 0
