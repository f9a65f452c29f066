"""Conditional domain-adversarial training: the discriminator reads features together with predictions."""

from typing import Annotated

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, MethodInputs, Range
from transfer_cli.losses.certainty import entropies
from transfer_cli.methods._aligned import Both
from transfer_cli.methods.dann import Dann


class Cdan(Dann):
    """Long et al. 2018, arXiv:1705.10667, eqs. 4 to 9: DANN whose discriminator reads the outer product of features and
    class probabilities, or `random` random products of both if `random` is not 0. `entropy`: CDAN+E, rows are weighted
    by 1 + exp(-entropy), so rows with certain predictions have more weight."""

    of_features: Tensor  # [D, random]
    of_classes: Tensor  # [C, random]

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
        random: Annotated[int, Range(0)] = 0,
        entropy: bool = False,
    ) -> None:
        classes = given.net.heads[given.tasks["source"].head].out_features
        super().__init__(given, random or given.net.width * classes, weight=weight, ramp=ramp, hidden=hidden)
        self.entropy, self.random = entropy, random
        if random:
            self.register_buffer("of_features", torch.randn(given.net.width, random))
            self.register_buffer("of_classes", torch.randn(classes, random))

    def discriminator_inputs(self, both: Both) -> Tensor:
        return self.conditioned(both.features, both.scores.softmax(1).detach())

    def conditioned(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """Combines features [B, D] and probabilities [B, C] into [B, D * C], or [B, random]."""
        if self.random:
            return (features @ self.of_features) * (probabilities @ self.of_classes) / self.random**0.5
        return (features[:, :, None] * probabilities[:, None]).flatten(1)

    def row_weights(self, both: Both, source: Batch) -> tuple[Tensor, Tensor] | None:
        if not self.entropy:
            return None
        sides = (both.source_scores, both.target_scores)
        source_weights, target_weights = (1 + torch.exp(-entropies(scores.detach())) for scores in sides)
        return source_weights, target_weights
