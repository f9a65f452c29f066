"""Invariant risk minimisation: features for which one head is optimal in every source domain."""

from collections.abc import Iterator
from typing import Annotated

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.irm import irm_penalty
from transfer_cli.methods.erm import Erm, by_domain, mean, only, several


class Irm(Erm):
    """Arjovsky et al. 2019, arXiv:1907.02893, IRMv1: mean loss of the domains + weight * mean of their penalties.
    During the first `anneal` of the steps the penalty has weight 1. If the weight is above 1, the sum is divided by it,
    as in the authors' code."""

    coupled = True

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 100.0,
        anneal: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__(given)
        self.weight, self.anneal, self.domains = weight, anneal, several(given, "irm")

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        scores = self.task.forward(self.net, rows.inputs)
        domains = [(scores[indices], only(rows, indices)) for _, indices in by_domain(rows, self.domains)]
        risk = mean([self.task.loss(domain_scores, domain_rows) for domain_scores, domain_rows in domains])
        penalty = mean([irm_penalty(domain_scores, domain_rows.target()) for domain_scores, domain_rows in domains])
        weight = 1.0 if at.fraction < self.anneal else self.weight
        yield Loss("net", (risk + weight * penalty) / max(1.0, weight), {"label": risk, "penalty": penalty})
