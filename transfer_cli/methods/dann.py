"""Domain-adversarial training: a discriminator separates source from target, and the net learns features that prevent
it."""

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.adversarial import domain_loss, gradient_reversal, ramp_up
from transfer_cli.methods._aligned import Aligned, Both
from transfer_cli.models.domain_discriminator import DomainDiscriminator


class Dann(Aligned):
    """Ganin et al. 2016, arXiv:1505.07818, eq. 9: source cross-entropy + weight * loss of a discriminator after a
    gradient reversal, whose strength rises over the first `ramp` of training. `hidden`: width of the discriminator's
    hidden layers.

    Methods derived from this one override what the discriminator reads (`width` numbers a row), the row weights, the
    label loss and a further loss term."""

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
        inputs = gradient_reversal(self.discriminator_inputs(both), ramp_up(at.fraction, self.ramp))
        domain_scores = self.discriminator(inputs).float()
        source_domain, target_domain = domain_scores.split([len(both.source), len(both.target)])
        discriminator_loss = domain_loss(source_domain, target_domain, self.row_weights(both, source))
        label_loss = self.label_loss(both, source)
        value = label_loss + self.weight * discriminator_loss + self.extra_loss(both)
        logs = {"label": label_loss, "discriminator": discriminator_loss}
        yield Loss(("net", "discriminator"), value, logs, weight=len(source))

    def discriminator_inputs(self, both: Both) -> Tensor:
        """Returns the discriminator's inputs [N + M, width]."""
        return both.features

    def row_weights(self, both: Both, source: Batch) -> tuple[Tensor, Tensor] | None:
        """Returns the weights [N] and [M] of the rows in the discriminator's loss; None: equal weights."""
        return None

    def label_loss(self, both: Both, source: Batch) -> Tensor:
        """Returns the loss () on labelled rows."""
        return both.label_loss

    def extra_loss(self, both: Both) -> Tensor | float:
        """Returns a further loss term ()."""
        return 0.0
