"""Conditional domain-adversarial training: the critic sees features together with what the net predicts."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Given, Loss, Player, Progress, Range
from transfer_cli.losses.adversarial import domain_loss, reverse, rise
from transfer_cli.losses.certainty import entropies
from transfer_cli.methods._aligned import Aligned, Both
from transfer_cli.models.critic import DomainCritic


class Cdan(Aligned):
    """Long et al. 2018, arXiv:1705.10667, eqs. 4 to 9: a critic of the outer product of features and class
    probabilities, or of `random` products of both if that is not 0. `entropy`: CDAN+E, rows the net is sure of weigh
    more, 1 + exp(-entropy)."""

    of_features: Tensor  # [D, random]
    of_classes: Tensor  # [C, random]

    def __init__(
        self,
        given: Given,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
        random: Annotated[int, Range(0)] = 0,
        entropy: bool = False,
    ) -> None:
        super().__init__(given)
        self.weight, self.ramp, self.entropy, self.random = weight, ramp, entropy, random
        classes = self.net.heads[self.task.head].out_features
        if random:
            self.register_buffer("of_features", torch.randn(given.net.width, random))
            self.register_buffer("of_classes", torch.randn(classes, random))
        self.critic = DomainCritic(random or given.net.width * classes, hidden)

    def players(self) -> dict[str, Player]:
        return {"net": [self.net], "critic": [self.critic]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        strength = rise(at.fraction, self.ramp)
        judged = self.critic(reverse(self.conditioned(both.features, both.scores.softmax(1).detach()), strength))
        sizes = [len(both.source), len(both.target)]
        near, far = judged.float().split(sizes)
        critic_loss = domain_loss(near, far, self._weights(both))
        value = both.label_loss + self.weight * critic_loss
        logs = {"label": both.label_loss, "critic": critic_loss}
        yield Loss(("net", "critic"), value, logs, weight=len(batch["source"]))

    def conditioned(self, features: Tensor, likely: Tensor) -> Tensor:
        """features [B, D] and probabilities [B, C] -> [B, D * C], or [B, random]."""
        if self.random:
            return (features @ self.of_features) * (likely @ self.of_classes) / self.random**0.5
        return (features[:, :, None] * likely[:, None]).flatten(1)

    def _weights(self, both: Both) -> tuple[Tensor, Tensor] | None:
        if not self.entropy:
            return None
        sides = (both.source_scores, both.target_scores)
        near, far = (1 + torch.exp(-entropies(scores.detach())) for scores in sides)
        return near, far
