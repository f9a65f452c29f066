"""Adversarial discriminative adaptation: a copy of the source's net learns to look like it on the target."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Frozen, Loss, Method, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.losses.adversarial import domain_loss
from transfer_cli.models.domain_discriminator import DomainDiscriminator


class Adda(Method):
    """Tzeng et al. 2017, arXiv:1702.05464, eq. 9: the net that the stage begins with stays as the source's; the
    discriminator tells its source features from the target features of the learning net (first yield); the net learns
    to be taken for it (second). The head stays. Wants a net that knows the source. `pace`: learning rate of the net as
    a share of the discriminator's; classes change places where the net moves faster than the discriminator can
    follow."""

    streams = {"source": Stream(), "target": Stream(labelled=False)}
    coupled = True
    needs = ("classes",)
    taught = True

    def __init__(
        self,
        given: MethodInputs,
        *,
        pace: Annotated[float, Range(0, above=True)] = 0.02,
        hidden: Annotated[int, Range(1)] = 1024,
    ) -> None:
        super().__init__()
        self.net: Any = given.net
        self.pace = pace
        self.source_net: Any = Frozen(given.net)
        self.discriminator = DomainDiscriminator(given.net.width, hidden)
        self.dropouts = [m for m in self.net.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
        self.net.heads.requires_grad_(False)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"discriminator": [self.discriminator], "net": [(self.net.backbone, self.pace)]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        with torch.no_grad():
            source = self.source_net.module.features(batch["source"].inputs).float()
        for (
            dropout
        ) in self.dropouts:  # the source's features have none, and the discriminator would learn to see just that
            dropout.eval()
        target = self.net.features(batch["target"].inputs).float()
        judged = self._judged(source, target.detach())
        yield Loss("discriminator", domain_loss(*judged))
        judged = self._judged(source, target)
        yield Loss("net", nn.functional.softplus(-judged[1]).mean())

    def _judged(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator sees both sides together, so that its BatchNorm tells nothing."""
        scores: Tensor = self.discriminator(torch.cat([source, target])).float()
        return scores[: len(source)], scores[len(source) :]
