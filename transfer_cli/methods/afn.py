"""Adaptive feature norm: the norms of the features of both domains are increased step by step."""

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.certainty import entropies
from transfer_cli.methods._aligned import Aligned


class Afn(Aligned):
    """Xu et al. 2019, arXiv:1811.07456, eq. 8 (stepwise): source cross-entropy + weight * (|f| - |f detached| -
    longer)^2 on both domains + entropy * mean entropy of the target predictions."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 0.05,
        longer: Annotated[float, Range(0)] = 1.0,
        entropy: Annotated[float, Range(0)] = 0.1,
    ) -> None:
        super().__init__(given)
        self.weight, self.longer, self.entropy = weight, longer, entropy

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        norms = self._norm_loss(both.source) + self._norm_loss(both.target)
        entropy = entropies(both.target_scores).mean()
        value = both.label_loss + self.weight * norms + self.entropy * entropy
        logs = {"label": both.label_loss, "entropy": entropy, "norm": both.target.norm(dim=1).mean()}
        yield Loss("net", value, logs, weight=len(batch["source"]))

    def _norm_loss(self, features: Tensor) -> Tensor:
        """Squared distance () between the norms of features [B, D] and their current values plus `longer`."""
        norms = features.norm(dim=1)
        return (norms - norms.detach() - self.longer).square().mean()
