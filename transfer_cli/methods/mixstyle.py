"""MixStyle: pictures borrow each other's style inside the net, so that it learns not to look at it."""

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
    """Zhou et al. 2021, arXiv:2104.02008: behind each of the first `blocks`, with `probability` a step, statistics of
    channels are mixed with those of another row of the batch, whatever its domain, by Beta(alpha, alpha). The hooks are
    there while a step runs and no longer: whoever evaluates the net never meets them. Raises ConfigError where no such
    block gives maps of pictures."""

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
        met: list[nn.Module] = []

        def mix(block: nn.Module, inputs: Any, out: Any) -> Any:
            if not isinstance(out, Tensor) or out.ndim != 4:
                return out
            met.append(block)
            return self._mixed(out)

        with ExitStack() as stack:
            for block in self._styled():
                stack.enter_context(block.register_forward_hook(mix))
            scores = self.task.forward(self.net, rows.inputs)
        if not met:
            text = f"none of the first {self.blocks} blocks gives maps of pictures"
            raise ConfigError(Fault("align", text, "mixstyle", do="a convolutional net"))
        yield Loss("net", self.task.loss(scores, rows), weight=self.task.weight(rows))

    def _styled(self) -> list[nn.Module]:
        """The modules whose outputs are mixed; of a list, which is never called itself, the last one in it."""
        return [_called(block) for block in self.net.blocks()[: self.blocks] if block not in self.net.heads.values()]

    def _mixed(self, maps: Tensor) -> Tensor:
        if float(torch.rand(())) >= self.probability:
            return maps
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(maps),))
        return restyled(maps, torch.randperm(len(maps), device=maps.device), share.to(maps.device))


def _called(block: nn.Module) -> nn.Module:
    while isinstance(block, nn.ModuleList) and len(block):
        block = block[-1]
    return block
