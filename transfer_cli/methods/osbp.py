"""Open-set adaptation: an additional class takes the target rows of classes that the source does not have."""

from collections.abc import Iterator
from typing import Annotated

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.losses.adversarial import gradient_reversal, ramp_up
from transfer_cli.losses.open_set import boundary
from transfer_cli.methods._aligned import Aligned


class Osbp(Aligned):
    """Open set domain adaptation by backpropagation, Saito et al. 2018, arXiv:1804.10427, eqs. 1 to 5. The head has one
    class more, `unknown`, which no source row has. The head learns to give target rows that class with probability
    `threshold`. After a gradient reversal, whose strength rises over the first `ramp` of training, the backbone moves
    each row away from this boundary, either to a known class or to the unknown class. The head is linear, as
    all heads of this program."""

    classes = "open"

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        threshold: Annotated[float, Range(0, 1)] = 0.5,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__(given)
        self.weight, self.threshold, self.ramp = weight, threshold, ramp

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        reversed_features = gradient_reversal(both.target, ramp_up(at.fraction, self.ramp))
        boundary_loss = boundary(self.head(reversed_features), self.threshold)
        value = both.label_loss + self.weight * boundary_loss
        yield Loss("net", value, {"label": both.label_loss, "boundary": boundary_loss}, weight=len(batch["source"]))
