"""ONNX: written by torch's exporter, and run by onnxruntime for the check. int8 is dynamic quantisation: 8-bit integer
weights of linear and convolution layers; inputs of layers are quantised at run time. Needs the extra `onnx`."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.export.program import Program
from transfer_cli.extras import extra

SUFFIX = ".onnx"
OUTPUT = "scores"
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def check(quantize: str) -> None:
    """Raises ConfigError if a library is not installed."""
    for library in LIBRARIES:
        extra(library, "onnx", "--to", "onnx")


def save(program: Program, quantize: str) -> bytes:
    """Returns the bytes of the ONNX file."""
    with _silent():
        exported = torch.onnx.export(
            program,
            program.example(),
            input_names=list(program.names),
            output_names=[OUTPUT],
            dynamic_shapes=program.dynamic(),
            dynamo=True,
            verbose=False,
        )
        assert exported is not None, "with dynamo=True the exporter returns a program"
        model: Any = exported.model_proto
        return _in_int8(model) if quantize else bytes(model.SerializeToString())


def _in_int8(model: Any) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        # on the CPU onnxruntime has no convolution with signed weights
        quantize_dynamic(model, str(path), weight_type=QuantType.QUInt8)
        return path.read_bytes()


def load(data: bytes) -> Callable[[Inputs], Tensor]:
    """Returns a function from inputs to scores [B, C], run by onnxruntime on the CPU."""
    runtime = extra("onnxruntime", "onnx", "--to", "onnx")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    session = runtime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])

    def scores(inputs: Inputs) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {n: x.contiguous().numpy() for n, x in inputs.items()})[0])

    return scores


@contextmanager
def _silent() -> Iterator[None]:
    """Silences warnings of the exporter and the quantiser that are meant for their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
