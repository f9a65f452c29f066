"""A program of torch.export: `torch.export.load(FILE).module()(pixels)` needs torch and nothing of ours."""

import io
from collections.abc import Callable

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.export.program import Program

SUFFIX = ".pt2"


def check(quantize: str) -> None:
    """Raises ConfigError for what the format does not have."""
    if quantize:
        raise ConfigError(Fault("--quantize", "torch_export programs keep the net's numbers", quantize, do="--to onnx"))


def save(program: Program, quantize: str) -> bytes:
    found = torch.export.export(program, program.example(), dynamic_shapes=program.dynamic())
    stream = io.BytesIO()
    torch.export.save(found, stream)
    return stream.getvalue()


def load(data: bytes) -> Callable[[Inputs], Tensor]:
    """Inputs -> scores [B, C] of our own bytes: a .pt2 of somebody else is never read here."""
    module = torch.export.load(io.BytesIO(data)).module()

    def scores(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            found: Tensor = module(*(x.contiguous() for x in inputs.values()))
        return found

    return scores
