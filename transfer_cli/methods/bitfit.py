"""BitFit: only the biases are trained."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.methods.supervised import Supervised


class Bitfit(Supervised):
    """Ben-Zaken et al. 2021, arXiv:2106.10199: every bias of the backbone and the head are trained; everything else is
    frozen. Biases of normalisation layers are included. A BatchNorm layer with a trained bias also updates its running
    statistics. Raises ConfigError for a net without biases."""

    def __init__(self, given: MethodInputs, *, label_smoothing: Annotated[float, Range(0, 1)] = 0.0) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        biases = [p for name, p in given.net.backbone.named_parameters() if name.endswith("bias")]
        if not biases:
            raise ConfigError(Fault("fine_tune", "the net has no biases", "bitfit", do="fine_tune=lora"))
        self._train_only(biases)
