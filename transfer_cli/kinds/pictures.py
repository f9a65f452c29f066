"""Pictures as items: gathered from one uint8 array, augmented as a batch, normalised as the model wants them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.data.open import Rows
from transfer_cli.data.placement import sent
from transfer_cli.kinds._augmentation import augment


class Images:
    """Rows of `placed` pixels [N, C, H, W]. `policy` "train" is the data set's own augmentation.
    Gives {"pixels": float32 [B, C, H, W]}, (x / 255 - mean) / std, on `device`, channels last where the model asks."""

    noun = "pictures"
    domains: Tensor | None = None
    cut = 0  # rows longer than the net's window

    def __init__(
        self, pixels: Tensor, rows: Rows, model: dict[str, Any], *, policy: str, flip: bool, device: torch.device
    ) -> None:
        self.pixels, self.device = pixels, device
        self.flat = pixels.view(len(pixels), -1)
        self.home = pixels.device
        self.rows = torch.from_numpy(rows.index.astype(np.int64)).to(self.home)
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)
        self.policy, self.flip = policy, flip
        spec = model["input"]
        shape = (1, self.pixels.shape[1], 1, 1)
        self.mean = _per_channel(spec["mean"], shape, device) * 255
        self.scale = 1 / (_per_channel(spec["std"], shape, device) * 255)
        self.layout = torch.channels_last if model["channels_last"] else torch.contiguous_format
        # small pictures are cheap a row: larger chunks cost no memory and save calls
        self.chunk = 512 if self.pixels.shape[-1] <= 64 else 64

    def __len__(self) -> int:
        return len(self.rows)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order if self.domains is None else evenly(order, self.domains.cpu().numpy())

    def in_order(self) -> Tensor:
        return torch.arange(len(self), device=self.home)

    def gather(self, index: Tensor, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[Inputs, Tensor]:
        chosen = self.flat.index_select(0, self.rows.index_select(0, index))
        pixels = sent(chosen, self.device).view(len(index), *self.pixels.shape[1:])
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            pixels = augment(pixels, policy, rng(), flip=self.flip)
        pixels = pixels.to(torch.float32, memory_format=self.layout)
        labels = self.labels.index_select(0, sent(index, self.device))
        return {"pixels": pixels.sub_(self.mean).mul_(self.scale)}, labels


def evenly(order: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """An order of rows [N] in which each stretch has about as large a share of every domain as the whole; the rows of a
    domain keep their order."""
    of = domains[order]
    place = np.empty(len(order))
    for domain in np.unique(of):
        mine = np.flatnonzero(of == domain)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.asarray(order[np.argsort(place, kind="stable")])


def _per_channel(values: list[float], shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1).expand(shape)
