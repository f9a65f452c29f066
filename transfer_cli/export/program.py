"""A net with one head as a program of plain tensors, which is what every format stores. Letters of shapes: B rows,
T tokens, C classes."""

from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs
from transfer_cli.errors import ConfigError, Fault


class Program(nn.Module):
    """Tensors in the order of `names` (pixels; ids, mask; vectors) -> scores [B, C] float32. LoRA is folded in."""

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
        """The tensors of a batch in order."""
        return tuple(inputs[name].contiguous() for name in self.names)

    def example(self) -> tuple[Tensor, ...]:
        """Two rows to trace with: of one row a tracer would take 1 for a constant. One text is shorter than the
        other, else the mask would be found to do nothing."""
        example = self.net.input.example(2)
        if "mask" in example:
            example["mask"][1, 1:] = False
        return self.of(example)

    def dynamic(self) -> dict[str, Any]:
        """`dynamic_shapes` of torch.export: any number of rows, texts of any length up to the net's window."""
        rows = torch.export.Dim("batch")
        dims: dict[int, Any] = {0: rows}
        if "ids" in self.names:
            dims[1] = torch.export.Dim("tokens", max=self.net.input.length)
        return {"inputs": tuple(dims for _ in self.names)}

    def shapes(self) -> dict[str, list[Any]]:
        """Shapes by name, with letters where any size goes: {"pixels": ["B", 3, 224, 224]}."""
        texts = "ids" in self.names
        example = self.net.input.example()
        return {name: ["B", *(["T"] if texts else list(x.shape[1:]))] for name, x in example.items()}


def program_of(predicting: Any) -> Program:
    """The program of engine.predict.Predicting. Raises ConfigError where the answer is no output of a head."""
    predictor = predicting.spec["predictor"]["predictor"]
    if predictor != "none":
        text = f"its classes come from predictor={predictor} on stored rows, and a file holds nets only"
        raise ConfigError(Fault("export", text, do="strategy=linear_probe or fine_tune gives the net a head"))
    return Program(predicting.net, predicting.task.head)
