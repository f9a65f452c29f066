"""Vectors as items: rows of a matrix, standardised by nobody but the method that asks for it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.data.dataset import Rows
from transfer_cli.data.placement import sent

NOISE = {"weak": 0.05, "strong": 0.2}  # standard deviation of added noise, in units of a column's own


class Vectors:
    """Rows of `matrix` [N, D]. Gives {"vectors": float32 [B, D]}; policies "weak" and "strong" add normal noise."""

    noun = "rows"
    domains: Tensor | None = None
    chunk = 4096

    def __init__(self, matrix: Tensor, rows: Rows, *, policy: str, device: torch.device) -> None:
        self.matrix = matrix.index_select(0, torch.from_numpy(rows.index.astype(np.int64)).to(matrix.device))
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)
        self.policy, self.device, self.home = policy, device, self.matrix.device
        self.spread = self.matrix.std(0, correction=0).to(device)
        self.cut = 0

    def __len__(self) -> int:
        return len(self.labels)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order

    def in_order(self) -> Tensor:
        return torch.arange(len(self), device=self.home)

    def gather(self, index: Tensor, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[Inputs, Tensor]:
        rows = sent(self.matrix.index_select(0, index), self.device)
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            noise = sent(torch.from_numpy(rng().standard_normal(rows.shape, np.float32)), self.device)
            rows = rows + NOISE[policy] * self.spread * noise
        return {"vectors": rows}, self.labels.index_select(0, sent(index, self.device))
