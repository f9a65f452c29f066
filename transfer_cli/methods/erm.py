"""Empirical risk minimisation: the labels of all source domains, as if they were one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Given, Loss, Method, Player, Progress, Stream
from transfer_cli.errors import ConfigError, Fault


class Erm(Method):
    """Vapnik 1998; as a method of domain generalisation Gulrajani & Lopez-Paz 2021, arXiv:2007.01434, where it is hard
    to beat. The target is not read at all."""

    streams = {"source": Stream()}
    tasks = ("classify",)

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["source"]

    def players(self) -> dict[str, Player]:
        return {"net": [self.net]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        yield Loss("net", self.task.loss(self.net(rows.inputs, self.task.head), rows), weight=self.task.weight(rows))


def several(given: Given, method: str) -> int:
    """How many domains the source has. Raises ConfigError if there are not two or more."""
    names = given.domains.get("source", ())
    if len(names) < 2:
        text = f"compares domains of the source, and it has {f'one, {names[0]}' if names else 'no domain axis'}"
        raise ConfigError(Fault("align", text, method, do="source.domain='[a,b]' or others; strategy=erm needs none"))
    return len(names)


def by_domain(rows: Batch, count: int, *, least: int = 1) -> Iterator[tuple[int, Tensor]]:
    """Domains 0..count-1 of which the batch has `least` rows or more, each with the places [M] of its rows."""
    assert rows.domains is not None, "checked by several"
    for domain in range(count):
        places = torch.nonzero(rows.domains == domain).flatten()
        if len(places) >= least:
            yield domain, places


def only(rows: Batch, places: Tensor) -> Batch:
    """The rows at `places`; of their inputs nothing, for a loss of scores that are there already."""
    return Batch({}, rows.target()[places], rows.index[places])


def mean(values: Sequence[Tensor]) -> Tensor:
    """Mean () of numbers ()."""
    return torch.stack(list(values)).mean()
