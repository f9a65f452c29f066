"""Domain-adversarial training: a critic tells source from target, the net learns features that it cannot tell apart."""

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Given, Loss, Player, Progress, Range
from transfer_cli.losses.adversarial import domain_loss, reverse, rise
from transfer_cli.methods._aligned import Aligned, Both
from transfer_cli.models.critic import DomainCritic


class Dann(Aligned):
    """Ganin et al. 2016, arXiv:1505.07818, eq. 9: source cross-entropy + weight * the critic's loss behind a gradient
    reversal, whose strength rises over the first `ramp` of training. `hidden`: width of the critic."""

    def __init__(
        self,
        given: Given,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
    ) -> None:
        super().__init__(given)
        self.weight, self.ramp = weight, ramp
        self.critic = DomainCritic(given.net.width, hidden)

    def players(self) -> dict[str, Player]:
        return {"net": [self.net], "critic": [self.critic]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        judged = self.critic(reverse(both.features, rise(at.fraction, self.ramp)))
        near, far = judged.float().split([len(both.source), len(both.target)])
        critic_loss = domain_loss(near, far)
        value = both.label_loss + self.weight * critic_loss + self.extra_loss(both)
        logs = {"label": both.label_loss, "critic": critic_loss}
        yield Loss(("net", "critic"), value, logs, weight=len(batch["source"]))

    def extra_loss(self, both: Both) -> Tensor | float:
        """What methods that build on this one add."""
        return 0.0
