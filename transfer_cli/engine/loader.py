"""Feeds: batches addressed by step. `loader[t]` depends on (seed, role, stream, t) only, so nothing about the
position in the data is ever saved. What a row looks like is the business of `items` (kinds/pictures.py ...)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Batch, DeviceDataset, Inputs, Targets
from transfer_cli.data.placement import sent
from transfer_cli.seeds import seed_for


@dataclass(frozen=True)
class Address:
    """Whose batches: the names that seed every draw of a loader."""

    seed: int
    role: str
    stream: str

    def rng(self, purpose: str, t: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=seed_for(self.seed, self.role, self.stream, purpose, t)))


Features = Callable[["StepLoader", Any], tuple[Tensor, Tensor]]


class StepLoader:
    """A Loader over items: each row once an epoch, in an order drawn per epoch; a batch may span two epochs.
    `share` (rank, world): this process takes rows rank::world of every batch, and augments them with draws of its own.
    `batch` is the whole."""

    def __init__(
        self,
        items: DeviceDataset,
        address: Address,
        *,
        batch: int,
        labelled: bool = True,
        views: tuple[str, ...] = ("train",),
        key: Mapping[str, Any] | None = None,
        features: Features | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.items, self.address, self.labelled, self.policies = items, address, labelled, views
        self.rows = len(items)
        self.batch = min(batch, self.rows)
        self.steps_per_epoch = max(1, self.rows // self.batch)
        self.key = dict(key or {})
        self.rank, self.world = share
        self._features = features
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, t: int) -> Batch:
        index = self._index(t) if self.world == 1 else self._index(t)[self.rank :: self.world]
        made = [self.items.gather(index, policy, self._rng(t, i)) for i, policy in enumerate(self.policies)]
        views = tuple(inputs for inputs, _ in made)
        return self._batch(views, made[0][1], index)

    def _batch(self, views: tuple[Inputs, ...], learned: Targets, index: Tensor) -> Batch:
        place = sent(index, self.items.labels.device)
        domains = None if self.items.domains is None else self.items.domains.index_select(0, place)
        labels, targets = (None, learned) if self.items.targeted else (learned, None)
        if not self.labelled:
            return Batch(views[0], None, place, views, domains)
        return Batch(views[0], labels, place, views, domains, targets)  # type: ignore[arg-type]

    def _rng(self, t: int, view: int) -> Callable[[], np.random.Generator]:
        purpose = f"view {view} of rank {self.rank}" if self.rank else f"view {view}"
        return lambda: self.address.rng(purpose, t)

    def _index(self, t: int) -> Tensor:
        start = t * self.batch
        epoch, offset = divmod(start, self.rows)
        order = self._order(epoch)[offset : offset + self.batch]
        if len(order) == self.batch:
            return order
        return torch.cat([order, self._order(epoch + 1)[: self.batch - len(order)]])

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            rng = self.address.rng("order", epoch)
            order = self.items.arranged(rng.permutation(self.rows), self.batch, rng)
            self._orders[epoch] = sent(torch.from_numpy(order), self.items.home)
        return self._orders[epoch]

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, without augmentation; `index` says which, for rows of like length come together."""
        for index in self.items.in_order().split(batch or self.items.chunk):
            inputs, labels = self.items.gather(index, "none", self._rng(0, 0))
            yield self._batch((inputs,), labels, index)

    def features(self, net: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] and labels [N] of every row, in order, by way of the feature cache."""
        if self._features is None:
            raise TypeError("this loader was made without a feature cache")
        return self._features(self, net)
