"""A program of torch.export: `torch.export.load(FILE).module()(pixels)` needs only torch."""

import io
from collections.abc import Callable

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.export.program import Program

SUFFIX = ".pt2"


def check(quantize: str) -> None:
    """Raises ConfigError for quantisation, which this format does not support."""
    if quantize:
        raise ConfigError(Fault("--quantize", "torch_export programs keep the net's numbers", quantize, do="--to onnx"))


def save(program: Program, quantize: str) -> bytes:
    """Returns the bytes of the .pt2 file."""
    exported = torch.export.export(program, program.example(), dynamic_shapes=program.dynamic())
    stream = io.BytesIO()
    torch.export.save(exported, stream)
    return stream.getvalue()


def load(data: bytes) -> Callable[[Inputs], Tensor]:
    """Returns a function from inputs to scores [B, C]. It is called only on bytes that `save` returned, never on
    external files."""
    module = torch.export.load(io.BytesIO(data)).module()

    def scores(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            output: Tensor = module(*(x.contiguous() for x in inputs.values()))
        return output

    return scores
