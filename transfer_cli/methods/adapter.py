"""Adapters: small trainable bottlenecks after frozen layers."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Adapter(Supervised):
    """Houlsby et al. 2019, arXiv:1902.00751; for convolutions Rebuffi et al. 2017, arXiv:1705.08045. A residual
    bottleneck of `bottleneck` channels is added after every linear and convolution layer of the backbone. The
    bottlenecks and the head are trained; everything else is frozen. `layers`: use only layers whose names end with one
    of these. Adapters of an earlier stage with the same settings are trained further. Raises ConfigError if their
    settings differ, or no layer is left."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        bottleneck: Annotated[int, Range(1, 4096)] = 8,
        layers: tuple[str, ...] = (),
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._train_only(given.net.graft("adapter", layers, bottleneck=bottleneck))
