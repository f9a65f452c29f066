"""Test-time entropy minimisation: scales and shifts of BatchNorm turn until the net is sure of the target."""

from collections.abc import Iterator

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.losses.certainty import entropies
from transfer_cli.methods.adabn import Adabn


class Tent(Adabn):
    """Wang et al. 2021, arXiv:2006.10726, section 3: the BatchNorm layers normalise by each batch's own statistics, and
    their scale and shift alone learn, by the mean entropy of the predictions. Sees target rows without labels, no
    source row. The paper predicts while it learns; here the net is handed on with the statistics of all target rows, as
    adabn gives them. Raises ConfigError for a net without BatchNorm or without head."""

    streams = {"target": Stream(labelled=False, views=("none",))}
    steps = True
    needs = ("classes",)
    name = "tent"
    taught = True

    def __init__(self, given: MethodInputs) -> None:
        super().__init__(given)
        self.head = given.tasks["target"].head
        if self.head not in self.net.heads:
            text = "the net has no head whose predictions could become surer"
            raise ConfigError(Fault("align", text, "tent", do="pretrain=supervised, or weights=..."))
        self.net.requires_grad_(False)
        self.turning = [p for norm in self.norms for p in norm.parameters()]
        for p in self.turning:
            p.requires_grad_(True)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": self.turning}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        yield Loss("net", entropies(self.net(batch["target"].inputs, self.head)).mean())
