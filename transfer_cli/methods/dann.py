"""Domain-adversarial training: a discriminator tells source from target, and the net learns features that fool it."""

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.adversarial import domain_loss, gradient_reversal, ramp_up
from transfer_cli.methods._aligned import Aligned, Both
from transfer_cli.models.domain_discriminator import DomainDiscriminator


class Dann(Aligned):
    """Ganin et al. 2016, arXiv:1505.07818, eq. 9: source cross-entropy + weight * the discriminator's loss behind a
    gradient reversal, whose strength rises over the first `ramp` of training. `hidden`: width of the discriminator.
    Methods that build on this one say what the discriminator sees, `width` numbers a row, how rows count, and what
    else is lost."""

    def __init__(
        self,
        given: MethodInputs,
        width: int | None = None,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
    ) -> None:
        super().__init__(given)
        self.weight, self.ramp = weight, ramp
        self.discriminator = DomainDiscriminator(width or given.net.width, hidden)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net], "discriminator": [self.discriminator]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        source, both = batch["source"], self.both(batch)
        judged = self.discriminator(gradient_reversal(self.seen(both), ramp_up(at.fraction, self.ramp))).float()
        near, far = judged.split([len(both.source), len(both.target)])
        domain_loss_value = domain_loss(near, far, self.row_weights(both, source))
        label_loss = self.label_loss(both, source)
        value = label_loss + self.weight * domain_loss_value + self.extra_loss(both)
        yield Loss(
            ("net", "discriminator"),
            value,
            {"label": label_loss, "discriminator": domain_loss_value},
            weight=len(source),
        )

    def seen(self, both: Both) -> Tensor:
        """What the discriminator sees [N + M, D]."""
        return both.features

    def row_weights(self, both: Both, source: Batch) -> tuple[Tensor, Tensor] | None:
        """How much rows count for the discriminator, [N] and [M]; None: all the same."""
        return None

    def label_loss(self, both: Both, source: Batch) -> Tensor:
        return both.label_loss

    def extra_loss(self, both: Both) -> Tensor | float:
        return 0.0
