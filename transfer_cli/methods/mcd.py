"""Maximum classifier discrepancy: two heads that disagree on the target show which features are not yet aligned."""

import copy
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.swd import swd
from transfer_cli.methods._aligned import Aligned


class Mcd(Aligned):
    """Saito et al. 2018, arXiv:1712.02560, section 3.3. Step A trains everything on the source. Step B trains the heads
    to disagree on the target while they fit the source. Step C trains the backbone, `generator_steps` times, to make
    them agree. `between`: the difference of two heads, l1 of probabilities (eq. 9) or their sliced Wasserstein distance
    (SWD, Lee et al. 2019, arXiv:1903.04064, eq. 6). The net that is handed on has the mean of both heads."""

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
            source_features = self.net.features(source.inputs)
            target_features = self.net.features(batch["target"].inputs)
        difference = self._difference(target_features)
        yield Loss("heads", self._label_loss(source_features, source) - self.weight * difference, {"apart": difference})
        for _ in range(self.generator_steps):
            yield Loss("backbone", self.weight * self._difference(self.net.features(batch["target"].inputs)))

    def _label_loss(self, features: Tensor, rows: Batch) -> Tensor:
        return self.task.loss(self.first(features), rows) + self.task.loss(self.second(features), rows)

    def _difference(self, features: Tensor) -> Tensor:
        """Difference () between the predictions of both heads for features [B, D]."""
        first, second = (head(features).float().softmax(1) for head in (self.first, self.second))
        return (first - second).abs().mean() if self.between == "l1" else swd(first, second)

    @torch.no_grad()
    def result(self) -> dict[str, Any]:
        net = copy.deepcopy(self.net)
        mean = net.heads[self.task.head]
        mean.weight.copy_((self.first.weight + self.second.weight) / 2)
        mean.bias.copy_((self.first.bias + self.second.bias) / 2)
        return {"net": net}
