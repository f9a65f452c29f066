"""A net with one head as a program of plain tensors, the form that every export format stores. Shapes: B rows, T
tokens, C classes."""

from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs
from transfer_cli.errors import ConfigError, Fault


class Program(nn.Module):
    """Maps tensors in the order of `names` (pixels; ids, mask; vectors) to scores [B, C] float32. LoRA is merged into
    the weights."""

    def __init__(self, net: Any, head: str) -> None:
        super().__init__()
        net.merge()
        self.net, self.head = net, head
        self.names = tuple(net.input.example())
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.net(dict(zip(self.names, inputs, strict=True)), self.head)
        return scores.float()

    def of(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Returns the tensors of a batch in the order of `names`."""
        return tuple(inputs[name].contiguous() for name in self.names)

    def example(self) -> tuple[Tensor, ...]:
        """Returns two rows for tracing; with a single row the tracer would treat 1 as a constant. One text is shorter
        than the other; otherwise the tracer would remove the mask."""
        example = self.net.input.example(2)
        if "mask" in example:
            example["mask"][1, 1:] = False
        return self.of(example)

    def dynamic(self) -> dict[str, Any]:
        """Returns `dynamic_shapes` of torch.export: any number of rows, and texts of any length up to the net's
        maximum."""
        rows = torch.export.Dim("batch")
        dims: dict[int, Any] = {0: rows}
        if "ids" in self.names:
            dims[1] = torch.export.Dim("tokens", max=self.net.input.length)
        return {"inputs": tuple(dims for _ in self.names)}

    def shapes(self) -> dict[str, list[Any]]:
        """Returns the shapes by name, with letters for dynamic sizes: {"pixels": ["B", 3, 224, 224]}."""
        has_tokens = "ids" in self.names
        example = self.net.input.example()
        return {name: ["B", *(["T"] if has_tokens else list(x.shape[1:]))] for name, x in example.items()}


def program_of(predicting: Any) -> Program:
    """Returns the program of an engine.predict.Predicting. Raises ConfigError if its answers do not come from a head of
    the net."""
    predictor = predicting.spec["predictor"]["predictor"]
    if predictor != "none":
        text = f"its classes come from predictor={predictor} on stored rows, and an exported file holds only the net"
        raise ConfigError(Fault("export", text, do="strategy=linear_probe or fine_tune gives the net a head"))
    return Program(predicting.net, predicting.task.head)
