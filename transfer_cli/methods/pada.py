"""Partial adaptation: source classes that the target does not seem to have count less, for critic and labels."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Feed, Given, Loss, Player, Progress, Range, Stream
from transfer_cli.losses.adversarial import domain_loss, reverse, rise
from transfer_cli.methods._aligned import Aligned
from transfer_cli.methods._whole import features_of
from transfer_cli.models.critic import DomainCritic


class Pada(Aligned):
    """PADA, Cao et al. 2018, arXiv:1808.04205, eqs. 2 to 4: adversarial training in which a source row counts as its
    class does, for the critic and for the labels. The weight of a class is the mean of the net's predictions over all
    target rows, the largest being 1; it is renewed `renewals` times over training. `ramp`, `hidden` as in dann."""

    streams = {"source": Stream(), "target": Stream(labelled=False)}
    classes = "partial"
    shares: Tensor

    def __init__(
        self,
        given: Given,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
        renewals: Annotated[int, Range(1)] = 20,
    ) -> None:
        super().__init__(given)
        self.weight, self.ramp, self.renewals = weight, ramp, renewals
        self.critic = DomainCritic(given.net.width, hidden)
        self.register_buffer("shares", torch.ones(self.net.heads[self.task.head].out_features))

    def players(self) -> dict[str, Player]:
        return {"net": [self.net], "critic": [self.critic]}

    @torch.no_grad()
    def refresh(self, feeds: dict[str, Feed], at: Progress) -> None:
        if at.step % max(1, at.steps // self.renewals) == 0:
            self.shares.copy_(shares_of(self.head(features_of(self.net, feeds["target"]))))

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both, labels = self.both(batch), batch["source"].target()
        label_loss = nn.functional.cross_entropy(both.source_scores, labels, weight=self.shares)
        judged = self.critic(reverse(both.features, rise(at.fraction, self.ramp))).float()
        near, far = judged.split([len(both.source), len(both.target)])
        critic_loss = domain_loss(near, far, (self.shares[labels], torch.ones_like(far)))
        logs = {"label": label_loss, "critic": critic_loss}
        yield Loss(("net", "critic"), label_loss + self.weight * critic_loss, logs, weight=len(batch["source"]))


def shares_of(scores: Tensor) -> Tensor:
    """Weights [C] of classes from scores [N, C]: mean probabilities, over their largest."""
    mean = scores.float().softmax(1).mean(0)
    return mean / mean.max()
