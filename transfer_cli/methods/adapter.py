"""Bottlenecks behind frozen layers."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Adapter(Supervised):
    """Houlsby et al. 2019, arXiv:1902.00751; for convolutions Rebuffi et al. 2017, arXiv:1705.08045: a residual
    bottleneck of `bottleneck` channels behind every linear and convolution layer of the backbone, and the head, learn;
    the rest is frozen. `layers`: only behind layers whose names end so. Adapters of an earlier stage learn on if they
    have the same settings. Raises ConfigError if they do not, or no layer is left."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        bottleneck: Annotated[int, Range(1, 4096)] = 8,
        layers: tuple[str, ...] = (),
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._only(given.net.graft("adapter", layers, bottleneck=bottleneck))
