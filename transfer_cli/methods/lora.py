"""Low-rank changes of frozen weights."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Lora(Supervised):
    """Hu et al. 2021, arXiv:2106.09685: every linear and convolution layer of the backbone learns a matrix of rank
    `rank` beside its frozen weight, scaled by alpha / rank, and the head learns as usual. `layers`: only layers whose
    names end so. LoRA of an earlier stage is folded into the weights first. Raises ConfigError if no layer is left."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        rank: Annotated[int, Range(1, 4096)] = 8,
        alpha: Annotated[float, Range(0, 65536, above=True)] = 8.0,
        layers: tuple[str, ...] = (),
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        given.net.merge()
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._only(given.net.graft("lora", layers, rank=rank, alpha=alpha))
