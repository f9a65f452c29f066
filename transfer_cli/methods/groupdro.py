"""Group DRO: the source domain with the largest loss gets the largest weight."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.methods.erm import Erm, by_domain, only, several


class Groupdro(Erm):
    """Sagawa et al. 2020, arXiv:1911.08731, algorithm 1. Each domain's loss has a weight q; before each step q is
    multiplied by exp(eta * loss) and normalised to sum to 1. A domain without rows in the batch has loss 0 in that
    step."""

    coupled = True
    q: Tensor

    def __init__(self, given: MethodInputs, *, eta: Annotated[float, Range(0)] = 0.01) -> None:
        super().__init__(given)
        self.eta, self.domains = eta, several(given, "groupdro")
        self.register_buffer("q", torch.full((self.domains,), 1 / self.domains))

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        scores = self.task.forward(self.net, rows.inputs)
        losses = scores.new_zeros(self.domains, dtype=torch.float32)
        for domain, indices in by_domain(rows, self.domains):
            losses[domain] = self.task.loss(scores[indices], only(rows, indices))
        q = self.q * (self.eta * losses.detach()).exp()
        q = q / q.sum()
        yield Loss("net", (q * losses).sum(), {f"share {i}": share for i, share in enumerate(q)})

    def after(self, batch: dict[str, Batch], at: Progress, logs: dict[str, Tensor]) -> None:
        self.q.copy_(torch.stack([logs[f"share {i}"] for i in range(self.domains)]))
