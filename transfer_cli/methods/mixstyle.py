"""MixStyle: feature statistics of different images are mixed inside the net, so that it learns to ignore style."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.losses.style import restyled
from transfer_cli.methods.erm import Erm


class Mixstyle(Erm):
    """Zhou et al. 2021, arXiv:2104.02008: after each of the first `blocks` blocks, with `probability` in each step, the
    channel statistics of a row are mixed with those of another row of the batch, of any domain, with share Beta(alpha,
    alpha). The hooks exist only during a training step, so evaluation is not affected. Raises ConfigError if none of
    these blocks outputs feature maps of images."""

    coupled = True

    def __init__(
        self,
        given: MethodInputs,
        *,
        blocks: Annotated[int, Range(1)] = 3,
        alpha: Annotated[float, Range(0, above=True)] = 0.1,
        probability: Annotated[float, Range(0, 1)] = 0.5,
    ) -> None:
        super().__init__(given)
        self.blocks, self.alpha, self.probability = blocks, alpha, probability

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["source"]
        mixed_blocks: list[nn.Module] = []

        def mix(block: nn.Module, inputs: Any, out: Any) -> Any:
            if not isinstance(out, Tensor) or out.ndim != 4:
                return out
            mixed_blocks.append(block)
            return self._mixed(out)

        with ExitStack() as stack:
            for block in self._mixed_modules():
                stack.enter_context(block.register_forward_hook(mix))
            scores = self.task.forward(self.net, rows.inputs)
        if not mixed_blocks:
            text = f"none of the first {self.blocks} blocks outputs feature maps of images"
            raise ConfigError(Fault("align", text, "mixstyle", do="use a convolutional net"))
        yield Loss("net", self.task.loss(scores, rows), weight=self.task.weight(rows))

    def _mixed_modules(self) -> list[nn.Module]:
        """Returns the modules whose outputs are mixed. A ModuleList is never called itself, so its last module is
        taken."""
        blocks = self.net.blocks()[: self.blocks]
        return [_last_module(block) for block in blocks if block not in self.net.heads.values()]

    def _mixed(self, maps: Tensor) -> Tensor:
        if float(torch.rand(())) >= self.probability:
            return maps
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(maps),))
        return restyled(maps, torch.randperm(len(maps), device=maps.device), share.to(maps.device))


def _last_module(block: nn.Module) -> nn.Module:
    while isinstance(block, nn.ModuleList) and len(block):
        block = block[-1]
    return block
