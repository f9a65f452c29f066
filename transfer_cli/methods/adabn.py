"""AdaBN: the BatchNorm statistics of the source are replaced by those of the target."""

from typing import ClassVar

import torch
from torch import nn

from transfer_cli.contracts import Loader, Method, MethodInputs, Stream
from transfer_cli.errors import ConfigError, Fault


class Adabn(Method):
    """Li et al. 2016, arXiv:1603.04779: every BatchNorm layer takes the mean and variance of the target, averaged over
    the batches of one pass through all target rows. It uses no labels and no gradient. Raises ConfigError for a net
    without BatchNorm."""

    streams = {"target": Stream(labelled=False, views=("none",))}
    steps = False
    name: ClassVar[str] = "adabn"

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net = given.net
        self.norms = [m for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not self.norms:
            raise ConfigError(Fault("align", "the net has no BatchNorm layer", self.name, do="model=conv4 or resnet20"))

    @torch.no_grad()
    def finish(self, loaders: dict[str, Loader]) -> None:
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # cumulative average: all batches have equal weight
        for batch in loaders["target"].whole():
            self.net.features(batch.inputs)
        for norm, momentum in zip(self.norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
