"""Supervised training: full and partial fine-tuning, pretraining, training from scratch."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from transfer_cli.contracts import (
    Batch,
    Ema,
    Inputs,
    Loader,
    Loss,
    Method,
    MethodInputs,
    ParamGroup,
    Progress,
    Range,
    Stream,
)
from transfer_cli.losses import mixing


class Supervised(Method):
    """Cross-entropy (or the task's loss) on labelled rows.

    `blocks`: number of last blocks that are trained; None: all, 0: the head alone. `layer_decay`: factor of the
    learning rate per block from the head down; Howard & Ruder 2018, arXiv:1801.06146, section 3.2 (discriminative
    fine-tuning). `unfreeze`: blocks are unfrozen one by one from the head down; there section 3.3. `head_warmup`: share
    of training in which only the head is trained; Kumar et al. 2022, arXiv:2202.10054 (probe first, then fine-tune).
    `mixup`: arXiv:1710.09412. `cutmix`: arXiv:1905.04899. `label_smoothing`: arXiv:1512.00567, section 7. `ema`: decay
    of a moving average of the weights, which is then handed on."""

    streams = {"target": Stream()}

    def __init__(
        self,
        given: MethodInputs,
        *,
        blocks: Annotated[int, Range(0)] | None = None,
        layer_decay: Annotated[float, Range(0, 1, above=True)] = 1.0,
        unfreeze: bool = False,
        head_warmup: Annotated[float, Range(0, 1)] = 0.0,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
        mixup: Annotated[float, Range(0)] = 0.0,
        cutmix: Annotated[float, Range(0)] = 0.0,
        ema: Annotated[float, Range(0, 1)] | None = None,
    ) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["target"]
        self.layer_decay, self.unfreeze, self.head_warmup = layer_decay, unfreeze, head_warmup
        self.label_smoothing, self.mixup, self.cutmix = label_smoothing, mixup, cutmix
        self.head = self.net.heads[self.task.head]
        backbone = [block for block in self.net.blocks() if not _is_head(block, self.net)]
        first = 0 if blocks is None else max(0, len(backbone) - blocks)
        self.frozen = backbone[:first]
        self.learning: list[nn.Module | nn.Parameter] = list(backbone[first:])
        self.net.requires_grad_(False)
        self._train_last(len(self.learning))
        self.average = None if ema is None else Ema(self.net, ema)

    def _train_only(self, parameters: Sequence[nn.Parameter]) -> None:
        """Trains these parameters and the head; everything else is frozen."""
        self.learning = list(parameters)
        self._train_last(len(self.learning))

    def param_groups(self) -> dict[str, ParamGroup]:
        depth = len(self.learning)
        blocks = [(block, self.layer_decay ** (depth - i)) for i, block in enumerate(self.learning)]
        return {"net": [*blocks, (self.head, 1.0)]}

    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        if self.unfreeze or self.head_warmup:
            self._train_last(0 if at.fraction < self.head_warmup else self._trained_blocks(at))

    def _trained_blocks(self, at: Progress) -> int:
        """Returns the number of last blocks that are trained at this point of training."""
        if not self.unfreeze:
            return len(self.learning)
        span = (at.fraction - self.head_warmup) / max(1e-9, 0.5 * (1 - self.head_warmup))
        return min(len(self.learning), int(span * (len(self.learning) + 1)))

    def _train_last(self, trained: int) -> None:
        """Unfreezes the last `trained` blocks and the head, and freezes the other blocks."""
        frozen = len(self.learning) - trained
        for i, block in enumerate(self.learning):
            block.requires_grad_(i >= frozen)
        self.head.requires_grad_(True)

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["target"]
        inputs, other, share = self._mixed(rows)
        out = self.task.forward(self.net, inputs)
        value = self._loss(out, rows)
        if other is not None:
            swapped = Batch(rows.inputs, rows.target()[other], rows.index)
            value = share * value + (1 - share) * self._loss(out, swapped)
        yield Loss("net", value, weight=self.task.weight(rows))

    def _loss(self, out: Tensor, rows: Batch) -> Tensor:
        return self.task.loss(out, rows, self.label_smoothing)

    def _mixed(self, rows: Batch) -> tuple[Inputs, Tensor | None, float]:
        """Returns mixed inputs, the order [B] of their partner rows (None: not mixed) and the share of their own
        row."""
        if self.mixup:
            return mixing.mixup(rows.inputs, self.mixup)
        if self.cutmix:
            return mixing.cutmix(rows.inputs, self.cutmix)
        return rows.inputs, None, 1.0

    def after(self, batch: dict[str, Batch], at: Progress, logs: dict[str, Tensor]) -> None:
        if self.average is not None:
            self.average.update(self.net)

    def result(self) -> dict[str, Any]:
        return {"net": self.net if self.average is None else self.average.module}


def _is_head(block: nn.Module, net: Any) -> bool:
    return any(block is head for head in net.heads.values())
