"""Partial adaptation: source classes that seem absent from the target get lower weights in both losses."""

from typing import Annotated

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loader, MethodInputs, Progress, Range, Stream
from transfer_cli.methods._aligned import Both
from transfer_cli.methods._whole import features_of
from transfer_cli.methods.dann import Dann


class Pada(Dann):
    """PADA, Cao et al. 2018, arXiv:1808.04205, eqs. 2 to 4: DANN in which each source row has the weight of its class,
    for the discriminator and for the labels. The class weights are the mean predictions over all target rows, divided
    by the largest; they are computed `renewals` times during training."""

    streams = {"source": Stream(), "target": Stream(labelled=False)}
    classes = "partial"
    shares: Tensor

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
        renewals: Annotated[int, Range(1)] = 20,
    ) -> None:
        super().__init__(given, weight=weight, ramp=ramp, hidden=hidden)
        self.renewals = renewals
        self.register_buffer("shares", torch.ones(self.net.heads[self.task.head].out_features))

    @torch.no_grad()
    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        if at.renews(self.renewals):
            self.shares.copy_(class_weights(self.head(features_of(self.net, loaders["target"]))))

    def row_weights(self, both: Both, source: Batch) -> tuple[Tensor, Tensor]:
        return self.shares[source.target()], torch.ones_like(both.target[:, 0])

    def label_loss(self, both: Both, source: Batch) -> Tensor:
        return nn.functional.cross_entropy(both.source_scores, source.target(), weight=self.shares)


def class_weights(scores: Tensor) -> Tensor:
    """Weights [C] of classes from scores [N, C]: mean probabilities divided by the largest one."""
    mean = scores.float().softmax(1).mean(0)
    return mean / mean.max()
