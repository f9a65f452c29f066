"""Empirical risk minimisation: the labels of all source domains, as if they were one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loader, Loss, Method, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.methods.linear_probe import logistic, solve


class Erm(Method):
    """Vapnik 1998; as a method of domain generalisation Gulrajani & Lopez-Paz 2021, arXiv:2007.01434, where it is hard
    to beat. The target is not read at all. The head begins as the linear probe of the net that comes in, as in Kumar
    et al. 2022, arXiv:2202.10054: behind a random head the first steps spoil what the net knows of other domains."""

    streams = {"source": Stream()}
    needs = ("classes",)

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["source"]

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net]}

    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        if at.step == 0 and not unseen(self.net):
            solve(self.net.heads[self.task.head], *loaders["source"].features(self.net), logistic)

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        yield Loss("net", self.task.loss(self.task.forward(self.net, rows.inputs), rows), weight=self.task.weight(rows))


def unseen(net: nn.Module) -> bool:
    """Whether a BatchNorm has met no row yet: what such a net gives in eval mode is no feature."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return any(_fresh(norm.running_mean, 0.0) and _fresh(norm.running_var, 1.0) for norm in norms)


def _fresh(buffer: Tensor | bool | None, value: float) -> bool:
    return isinstance(buffer, Tensor) and bool((buffer == value).all())


def several(given: MethodInputs, method: str) -> int:
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
