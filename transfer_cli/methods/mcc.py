"""Minimum class confusion: target predictions that are divided between classes are penalised."""

from collections.abc import Iterator
from typing import Annotated

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.certainty import class_confusion
from transfer_cli.methods._aligned import Aligned


class Mcc(Aligned):
    """Jin et al. 2020, arXiv:1912.03699, eq. 7: source cross-entropy + weight * class confusion of the target
    predictions at `temperature`."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        temperature: Annotated[float, Range(0, above=True)] = 2.5,
    ) -> None:
        super().__init__(given)
        self.weight, self.temperature = weight, temperature

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        confusion = class_confusion(both.target_scores, self.temperature)
        value = both.label_loss + self.weight * confusion
        yield Loss("net", value, {"label": both.label_loss, "confusion": confusion}, weight=len(batch["source"]))
