"""The tensors of the net and the description from which `transfer` builds it again. Plain safetensors, readable by any
library that knows the architecture."""

from collections.abc import Callable

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.export.program import Program
from transfer_cli.models import net as nets
from transfer_cli.models.tensors import pack, unpack

SUFFIX = ".safetensors"


def check(quantize: str) -> None:
    """Raises ConfigError for what the format does not have."""
    if quantize:
        raise ConfigError(
            Fault("--quantize", "safetensors holds the net's tensors as they are", quantize, do="--to onnx")
        )


def save(program: Program, quantize: str) -> bytes:
    return pack(program.net.state_dict(), program.net.describe())


def load(data: bytes) -> Callable[[Inputs], Tensor]:
    """Inputs -> scores [B, C] of a net built anew from the bytes."""
    tensors, description = unpack(data)
    net = nets.rebuild(description)
    net.load_state_dict(tensors)
    program = Program(net, next(iter(net.heads)))

    def scores(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            found: Tensor = program(*program.of(inputs))
        return found

    return scores
