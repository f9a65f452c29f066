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
    reversal, whose strength rises over the first `ramp` of training. `hidden`: width of the critic. Methods that build
    on this one say what the critic sees, `width` numbers a row, how rows count, and what else is lost."""

    def __init__(
        self,
        given: Given,
        width: int | None = None,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
    ) -> None:
        super().__init__(given)
        self.weight, self.ramp = weight, ramp
        self.critic = DomainCritic(width or given.net.width, hidden)

    def players(self) -> dict[str, Player]:
        return {"net": [self.net], "critic": [self.critic]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        source, both = batch["source"], self.both(batch)
        judged = self.critic(reverse(self.seen(both), rise(at.fraction, self.ramp))).float()
        near, far = judged.split([len(both.source), len(both.target)])
        critic_loss = domain_loss(near, far, self.row_weights(both, source))
        label_loss = self.label_loss(both, source)
        value = label_loss + self.weight * critic_loss + self.extra_loss(both)
        yield Loss(("net", "critic"), value, {"label": label_loss, "critic": critic_loss}, weight=len(source))

    def seen(self, both: Both) -> Tensor:
        """What the critic sees [N + M, D]."""
        return both.features

    def row_weights(self, both: Both, source: Batch) -> tuple[Tensor, Tensor] | None:
        """How much rows count for the critic, [N] and [M]; None: all the same."""
        return None

    def label_loss(self, both: Both, source: Batch) -> Tensor:
        return both.label_loss

    def extra_loss(self, both: Both) -> Tensor | float:
        return 0.0
