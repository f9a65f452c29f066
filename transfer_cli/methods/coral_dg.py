"""CORAL for domain generalisation: feature covariances of all pairs of source domains are aligned."""

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.coral import coral
from transfer_cli.methods.erm import Erm, by_domain, mean, several


class CoralDg(Erm):
    """Sun & Saenko 2016, arXiv:1607.01719, eq. 6, applied to pairs of source domains as in Gulrajani & Lopez-Paz 2021,
    arXiv:2007.01434: cross-entropy + weight * mean CORAL of all pairs of domains. Domains with fewer than two rows in
    the batch are left out. Features are first divided by the root of their mean variance over the batch: CORAL grows
    with the fourth power of the feature scale, so a net with large features would otherwise only learn to shrink
    them."""

    coupled = True

    def __init__(self, given: MethodInputs, *, weight: Annotated[float, Range(0)] = 4.0) -> None:
        super().__init__(given)
        self.weight, self.domains = weight, several(given, "coral_dg")

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        features = self.net.features(rows.inputs)
        label_loss = self.task.loss(self.net.heads[self.task.head](features), rows)
        scaled = unit_variance(features.float())
        domain_features = [scaled[indices] for _, indices in by_domain(rows, self.domains, least=2)]
        distances = [coral(first, second) for first, second in combinations(domain_features, 2)]
        distance = mean(distances) if distances else label_loss.new_zeros(())
        yield Loss("net", label_loss + self.weight * distance, {"label": label_loss, "coral": distance})


def unit_variance(features: Tensor) -> Tensor:
    """Divides features [B, D] by the root of their mean variance."""
    return features / features.var(0, correction=0).mean().sqrt().clamp_min(1e-6)
