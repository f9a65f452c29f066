"""Empirical risk minimisation: all source domains are trained on as one domain."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loader, Loss, Method, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.methods.linear_probe import logistic, solve


class Erm(Method):
    """Vapnik 1998; as a strong baseline of domain generalisation Gulrajani & Lopez-Paz 2021, arXiv:2007.01434. The
    target is not read. The head starts as the linear probe of the incoming net, as in Kumar et al. 2022,
    arXiv:2202.10054: with a random head, the first steps would distort the pretrained features."""

    streams = {"source": Stream()}
    needs = ("classes",)

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["source"]

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net]}

    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        if at.step == 0 and not has_untrained_batch_norm(self.net):
            solve(self.net.heads[self.task.head], *loaders["source"].features(self.net), logistic)

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        yield Loss("net", self.task.loss(self.task.forward(self.net, rows.inputs), rows), weight=self.task.weight(rows))


def has_untrained_batch_norm(net: nn.Module) -> bool:
    """Returns whether a BatchNorm layer still has its initial statistics; features of such a net in eval mode are
    meaningless."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return any(_all_equal(norm.running_mean, 0.0) and _all_equal(norm.running_var, 1.0) for norm in norms)


def _all_equal(buffer: Tensor | bool | None, value: float) -> bool:
    return isinstance(buffer, Tensor) and bool((buffer == value).all())


def several(given: MethodInputs, method: str) -> int:
    """Returns the number of source domains. Raises ConfigError if there are fewer than two."""
    names = given.domains.get("source", ())
    if len(names) < 2:
        text = f"compares domains of the source, and it has {f'one, {names[0]}' if names else 'no domain axis'}"
        raise ConfigError(Fault("align", text, method, do="source.domain='[a,b]' or others; strategy=erm needs none"))
    return len(names)


def by_domain(rows: Batch, count: int, *, least: int = 1) -> Iterator[tuple[int, Tensor]]:
    """Yields each of the domains 0..count-1 with at least `least` rows in the batch, and the indices [M] of its
    rows."""
    assert rows.domains is not None, "checked by several"
    for domain in range(count):
        indices = torch.nonzero(rows.domains == domain).flatten()
        if len(indices) >= least:
            yield domain, indices


def only(rows: Batch, indices: Tensor) -> Batch:
    """Returns the rows at `indices` without inputs, for losses on scores that are already computed."""
    return Batch({}, rows.target()[indices], rows.index[indices])


def mean(values: Sequence[Tensor]) -> Tensor:
    """Mean () of scalars ()."""
    return torch.stack(list(values)).mean()
