"""LoRA: low-rank updates of frozen weights."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Lora(Supervised):
    """Hu et al. 2021, arXiv:2106.09685: every linear and convolution layer of the backbone trains a matrix of rank
    `rank` that is added to its frozen weight, scaled by alpha / rank; the head is trained as usual. `layers`: use only
    layers whose names end with one of these. LoRA of an earlier stage is merged into the weights first. Raises
    ConfigError if no layer is left."""

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
        self._train_only(given.net.graft("lora", layers, rank=rank, alpha=alpha))
