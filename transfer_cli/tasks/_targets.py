"""Rows of any kind, with targets in place of classes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.data.placement import sent


class WithTargets:
    """`items` with `labels` [N, K], the targets of all rows, fp32; all other attributes are those of `items`."""

    targeted = True

    def __init__(self, items: Any, targets: np.ndarray) -> None:
        self.items = items
        self.labels = torch.from_numpy(np.ascontiguousarray(targets, np.float32)).to(items.labels.device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.items, name)

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, index: Tensor, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[Inputs, Tensor]:
        inputs, _ = self.items.gather(index, policy, rng)
        return inputs, self.labels.index_select(0, sent(index, self.labels.device))
