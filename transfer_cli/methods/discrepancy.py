"""Feature alignment in its general form: source labels, and a distance between the features of both domains."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from torch import Tensor

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses import means
from transfer_cli.losses.adversarial import ramp_up
from transfer_cli.losses.coral import coral
from transfer_cli.losses.mmd import jmmd, mk_mmd, mmd
from transfer_cli.losses.swd import swd
from transfer_cli.losses.wasserstein import wasserstein
from transfer_cli.methods._aligned import Aligned, Both

PLAIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": means.euclidean,
    "cosine": means.cosine,
    "mmd": mmd,
    "mk_mmd": mk_mmd,
    "coral": coral,
    "swd": swd,
    "wasserstein": wasserstein,
}


class Discrepancy(Aligned):
    """L = weight * scale * D(F(X_s), F(X_t)) + (1 - weight) * L_task; `weight` is lambda of the general form.

    `distance` selects D: mk_mmd is DAN, Long et al. 2015, arXiv:1502.02791; jmmd is JAN, Long et al. 2017,
    arXiv:1605.06636; coral is Deep CORAL, Sun & Saenko 2016, arXiv:1607.01719. `scale` brings D to the size of L_task,
    so that weight 0.5 balances both. `ramp`: the share of training over which lambda rises from 0."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        distance: Literal["euclidean", "cosine", "mmd", "mk_mmd", "jmmd", "coral", "swd", "wasserstein"] = "mk_mmd",
        weight: Annotated[float, Range(0, 1)] = 0.5,
        scale: Annotated[float, Range(0, above=True)] = 1.0,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__(given)
        self.distance, self.weight, self.scale, self.ramp = distance, weight, scale, ramp

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        weight = self.weight * ramp_up(at.fraction, self.ramp)
        distance = self._distance(both)
        value = weight * self.scale * distance + (1 - weight) * both.label_loss
        yield Loss("net", value, {"label": both.label_loss, self.distance: distance}, weight=len(batch["source"]))

    def _distance(self, both: Both) -> Tensor:
        if self.distance == "jmmd":
            probabilities = (both.source_scores.softmax(1), both.target_scores.softmax(1))
            return jmmd((both.source, probabilities[0]), (both.target, probabilities[1]))
        return PLAIN[self.distance](both.source, both.target)
