"""Biases alone."""

from typing import Annotated

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.methods.supervised import Supervised


class Bitfit(Supervised):
    """Ben-Zaken et al. 2021, arXiv:2106.10199: every bias of the backbone and the head learn, the rest is frozen.
    Biases of norms count; a BatchNorm whose bias learns also takes the statistics of the batches it sees. Raises
    ConfigError for a net without biases."""

    def __init__(self, given: MethodInputs, *, label_smoothing: Annotated[float, Range(0, 1)] = 0.0) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        biases = [p for name, p in given.net.backbone.named_parameters() if name.endswith("bias")]
        if not biases:
            raise ConfigError(Fault("fine_tune", "the net has no biases", "bitfit", do="fine_tune=lora"))
        self._only(biases)
