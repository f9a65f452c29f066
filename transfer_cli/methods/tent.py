"""Tent: the scales and shifts of BatchNorm are trained to minimise the entropy of the target predictions."""

from collections.abc import Iterator

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.losses.certainty import entropies
from transfer_cli.methods.adabn import Adabn


class Tent(Adabn):
    """Wang et al. 2021, arXiv:2006.10726, section 3. BatchNorm layers normalise with the statistics of each batch, and
    only their scales and shifts are trained, by the mean entropy of the predictions. Target rows are read without
    labels; source rows are not read. The paper predicts while it trains; here the net that is handed on has the
    statistics of all target rows, computed as in adabn. Raises ConfigError for a net without BatchNorm or without a
    head."""

    streams = {"target": Stream(labelled=False, views=("none",))}
    steps = True
    needs = ("classes",)
    name = "tent"
    taught = True

    def __init__(self, given: MethodInputs) -> None:
        super().__init__(given)
        self.head = given.tasks["target"].head
        if self.head not in self.net.heads:
            text = "the net has no head, so there are no predictions to minimise the entropy of"
            raise ConfigError(Fault("align", text, "tent", do="pretrain=supervised, or weights=..."))
        self.net.requires_grad_(False)
        self.trained = [p for norm in self.norms for p in norm.parameters()]
        for p in self.trained:
            p.requires_grad_(True)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": self.trained}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        yield Loss("net", entropies(self.net(batch["target"].inputs, self.head)).mean())
