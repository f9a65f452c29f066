"""Adversarial discriminative domain adaptation: a copy of the source net is trained to give source-like features on the
target."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Frozen, Loss, Method, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.losses.adversarial import domain_loss
from transfer_cli.models.domain_discriminator import DomainDiscriminator


class Adda(Method):
    """Tzeng et al. 2017, arXiv:1702.05464, eq. 9. The net at the start of the stage is kept frozen as the source net.
    The first yield trains the discriminator to separate the source net's features of source rows from the trained net's
    features of target rows. The second yield trains the net to make the discriminator call its target features source.
    The head is frozen. The net must already be trained on the source. `pace`: learning rate of the net relative to the
    discriminator's; if the net changes faster than the discriminator can follow, classes are swapped."""

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
        # The source features are computed without dropout; the discriminator would learn that difference.
        for dropout in self.dropouts:
            dropout.eval()
        target = self.net.features(batch["target"].inputs).float()
        scores = self._domain_scores(source, target.detach())
        yield Loss("discriminator", domain_loss(*scores))
        scores = self._domain_scores(source, target)
        yield Loss("net", nn.functional.softplus(-scores[1]).mean())

    def _domain_scores(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the discriminator's scores [N] and [M]. Both sides are in one batch, so BatchNorm statistics do not
        reveal the domain."""
        scores: Tensor = self.discriminator(torch.cat([source, target])).float()
        return scores[: len(source)], scores[len(source) :]
