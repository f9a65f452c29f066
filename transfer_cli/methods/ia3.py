"""(IA)^3: learned scales of a frozen net's activations."""

from typing import Annotated, ClassVar

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised


class Ia3(Supervised):
    """(IA)^3 of the peft library, for nets of the transformers library. Liu et al. 2022, arXiv:2205.05638. Vectors that
    scale keys, values and the inner feed-forward activations are trained, and the head; everything else is frozen.
    `layers`: scale the outputs of layers whose names end with one of these instead. Raises ConfigError for other nets,
    and if no layer name matches."""

    extra: ClassVar[str] = "peft"

    def __init__(
        self,
        given: MethodInputs,
        *,
        layers: tuple[str, ...] = (),
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._train_only(given.net.graft("ia3", layers))
