"""CORAL for domain generalisation: features of all source domains drawn together, pair by pair."""

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.coral import coral
from transfer_cli.methods.erm import Erm, by_domain, mean, several


class CoralDg(Erm):
    """Sun & Saenko 2016, arXiv:1607.01719, eq. 6, with source domains for source and target as in Gulrajani & Lopez-Paz
    2021, arXiv:2007.01434: cross-entropy + weight * mean CORAL of all pairs of domains. Domains of which the batch has
    less than two rows are left out. Features are first brought to mean variance 1 over the batch: the distance goes
    with their scale to the fourth, and a net whose features are large would learn nothing but to make them small."""

    coupled = True

    def __init__(self, given: MethodInputs, *, weight: Annotated[float, Range(0)] = 4.0) -> None:
        super().__init__(given)
        self.weight, self.domains = weight, several(given, "coral_dg")

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        features = self.net.features(rows.inputs)
        label_loss = self.task.loss(self.net.heads[self.task.head](features), rows)
        even = evened(features.float())
        clouds = [even[places] for _, places in by_domain(rows, self.domains, least=2)]
        distances = [coral(one, other) for one, other in combinations(clouds, 2)]
        distance = mean(distances) if distances else label_loss.new_zeros(())
        yield Loss("net", label_loss + self.weight * distance, {"label": label_loss, "coral": distance})


def evened(features: Tensor) -> Tensor:
    """Features [B, D] over the root of their mean variance."""
    return features / features.var(0, correction=0).mean().sqrt().clamp_min(1e-6)
