"""Maximum classifier discrepancy: two heads that disagree on the target show where features must move."""

import copy
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.swd import swd
from transfer_cli.methods._aligned import Aligned


class Mcd(Aligned):
    """Saito et al. 2018, arXiv:1712.02560, 3.3, steps A, B and C: all learn the source; the heads learn to differ on
    the target and stay right on the source; the backbone learns, `generator_steps` times, that they agree.
    `between`: how two heads differ, l1 of probabilities (eq. 9) or their sliced Wasserstein distance (SWD, Lee et al.
    2019, arXiv:1903.04064, eq. 6). Handed on is the net with the mean of both heads."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        generator_steps: Annotated[int, Range(1)] = 4,
        between: Literal["l1", "swd"] = "l1",
    ) -> None:
        super().__init__(given)
        self.weight, self.generator_steps, self.between = weight, generator_steps, between
        self.first = self.net.heads[self.task.head]
        self.second = copy.deepcopy(self.first)
        self.second.reset_parameters()
        self.net.heads.requires_grad_(False)
        self.first.requires_grad_(True)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"backbone": [self.net.backbone], "heads": [self.first, self.second]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        source = batch["source"]
        yield Loss(("backbone", "heads"), self._label_loss(self.net.features(source.inputs), source))
        with torch.no_grad():
            near, far = self.net.features(source.inputs), self.net.features(batch["target"].inputs)
        apart = self._apart(far)
        yield Loss("heads", self._label_loss(near, source) - self.weight * apart, {"apart": apart})
        for _ in range(self.generator_steps):
            yield Loss("backbone", self.weight * self._apart(self.net.features(batch["target"].inputs)))

    def _label_loss(self, features: Tensor, rows: Batch) -> Tensor:
        return self.task.loss(self.first(features), rows) + self.task.loss(self.second(features), rows)

    def _apart(self, features: Tensor) -> Tensor:
        first, second = (head(features).float().softmax(1) for head in (self.first, self.second))
        return (first - second).abs().mean() if self.between == "l1" else swd(first, second)

    @torch.no_grad()
    def result(self) -> dict[str, Any]:
        net = copy.deepcopy(self.net)
        mean = net.heads[self.task.head]
        mean.weight.copy_((self.first.weight + self.second.weight) / 2)
        mean.bias.copy_((self.first.bias + self.second.bias) / 2)
        return {"net": net}
