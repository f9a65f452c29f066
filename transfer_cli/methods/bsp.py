"""DANN with batch spectral penalisation: the largest singular value of the features is penalised."""

from typing import Annotated

import torch
from torch import Tensor

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.losses.spectral import largest_singular
from transfer_cli.methods._aligned import Both
from transfer_cli.methods.dann import Dann


class Bsp(Dann):
    """Chen et al. 2019, ICML (PMLR 97:1081), eqs. 5 and 7: DANN + penalty * (s_1^2 of source + s_1^2 of target), where
    s_1 is the largest singular value of the features of a batch."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
        penalty: Annotated[float, Range(0)] = 0.0001,
    ) -> None:
        super().__init__(given, weight=weight, ramp=ramp, hidden=hidden)
        self.penalty = penalty

    def extra_loss(self, both: Both) -> Tensor:
        squares = [largest_singular(features).square() for features in (both.source, both.target)]
        return self.penalty * torch.stack(squares).sum()
