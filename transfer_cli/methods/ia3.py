"""Learned scales of a frozen net's activations."""

from typing import Annotated, ClassVar

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Ia3(Supervised):
    """(IA)^3 of the peft library for nets of the transformers library: a vector that scales keys, values and the inner
    layer, and the head, learn. Liu et al. 2022, arXiv:2205.05638. `layers`: ends of names of other layers, whose
    outputs are scaled. Raises ConfigError for other nets, and where no layer's name ends so."""

    extra: ClassVar[str] = "peft"

    def __init__(
        self,
        given: MethodInputs,
        *,
        layers: tuple[str, ...] = (),
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._only(given.net.graft("ia3", layers))
