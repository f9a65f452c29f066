"""The tensors of the net, and the description from which `transfer` rebuilds it. The file is plain safetensors and can
be read by any library that has the architecture."""

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
    """Raises ConfigError for quantisation, which this format does not support."""
    if quantize:
        raise ConfigError(
            Fault("--quantize", "safetensors holds the net's tensors as they are", quantize, do="--to onnx")
        )


def save(program: Program, quantize: str) -> bytes:
    """Returns the bytes of the safetensors file."""
    return pack(program.net.state_dict(), program.net.describe())


def load(data: bytes) -> Callable[[Inputs], Tensor]:
    """Returns a function from inputs to scores [B, C] of a net that is rebuilt from the bytes."""
    tensors, description = unpack(data)
    net = nets.rebuild(description)
    net.load_state_dict(tensors)
    program = Program(net, next(iter(net.heads)))

    def scores(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            output: Tensor = program(*program.of(inputs))
        return output

    return scores
