"""Data loaders: batches by step. `loader[t]` depends only on (seed, role, stream, t), so a checkpoint does not need the
position in the data. The rows are defined by `items` (kinds/pictures.py ...). A sampler (samplers/), if the stream has
one, chooses the rows of a batch."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Batch, DeviceDataset, Draw, Inputs, Sampler, Targets
from transfer_cli.data.placement import sent
from transfer_cli.plugins import load_class
from transfer_cli.seeds import seed_for


@dataclass(frozen=True)
class Address:
    """The seed and the names from which every random draw of a loader is seeded."""

    seed: int
    role: str
    stream: str

    def rng(self, purpose: str, t: int) -> np.random.Generator:
        """A new generator; equal arguments give equal random numbers."""
        return np.random.Generator(np.random.Philox(key=seed_for(self.seed, self.role, self.stream, purpose, t)))


Features = Callable[["StepLoader", Any], tuple[Tensor, Tensor]]


class StepLoader:
    """A Loader over items. Each row occurs once per epoch, in a random order that is drawn per epoch; a batch may span
    two epochs. A `sampler`, if given, chooses the rows of each batch instead.

    `share` (rank, world): this process takes the rows, or the sampler's units, rank::world of each batch, and augments
    them with its own random numbers. `batch` is the number of rows over all processes. `views`: augmentation policies.
    `key` identifies the rows in the feature cache, `features` reads that cache."""

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
        sampler: Sampler | None = None,
    ) -> None:
        self.items, self.address, self.labelled, self.policies = items, address, labelled, views
        self.rows = len(items)
        self.sampler = sampler
        self.batch = math.prod(sampler.shape) if sampler else min(batch, self.rows)
        self.units = sampler.shape[0] if sampler else self.batch
        self.steps_per_epoch = max(1, self.rows // self.batch)
        self.key = dict(key or {})
        self.rank, self.world = share
        self._features = features
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, t: int) -> Batch:
        return self._gathered(t, self._index(t), self.policies)

    def at(self, t: int, draw: Draw) -> Batch:
        """Batch t with the rows and views that a method chose. Raises TypeError if it chooses rows and the stream has a
        sampler."""
        index = self._index(t) if draw.rows is None else self._among(t, draw.rows)
        return self._gathered(t, index, self.policies if draw.views is None else draw.views)

    def _gathered(self, t: int, index: Tensor, policies: tuple[str, ...]) -> Batch:
        if self.world > 1:
            index = index.view(self.units, -1)[self.rank :: self.world].flatten()
        views = [self.items.gather(index, policy, self._rng(t, i)) for i, policy in enumerate(policies)]
        batch = self._batch(tuple(inputs for inputs, _ in views), views[0][1], index)
        if self.sampler:
            inner = self.sampler.shape[1:]
            batch.shape = (len(index) // math.prod(inner), *inner)
        return batch

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
        if self.sampler:
            chosen = self.sampler.index(t, lambda purpose, n: self.address.rng(f"sampler {purpose}", n))
            return sent(torch.from_numpy(chosen), self.items.home)
        start = t * self.batch
        epoch, offset = divmod(start, self.rows)
        order = self._order(epoch)[offset : offset + self.batch]
        if len(order) == self.batch:
            return order
        return torch.cat([order, self._order(epoch + 1)[: self.batch - len(order)]])

    def _among(self, t: int, rows: Tensor) -> Tensor:
        """A full batch of these rows [M > 0] in a random order for step t. No row repeats before all rows occurred."""
        if self.sampler:
            raise TypeError("`draw` must not choose rows of a stream that has a sampler")
        rng, rounds = self.address.rng("draw", t), -(-self.batch // len(rows))
        order = np.concatenate([rng.permutation(len(rows)) for _ in range(rounds)])[: self.batch]
        return rows.to(self.items.home).index_select(0, sent(torch.from_numpy(order), self.items.home))

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            rng = self.address.rng("order", epoch)
            order = self.items.arranged(rng.permutation(self.rows), self.batch, rng)
            self._orders[epoch] = sent(torch.from_numpy(order), self.items.home)
        return self._orders[epoch]

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, without augmentation. `index` contains the positions of the rows, because rows of similar
        length are grouped."""
        for index in self.items.in_order().split(batch or self.items.chunk):
            inputs, labels = self.items.gather(index, "none", self._rng(0, 0))
            yield self._batch((inputs,), labels, index)

    def groups(self) -> Tensor | None:
        """The group of each row [N]; None if the sampler has no groups."""
        groups = self.sampler.groups if self.sampler else None
        return None if groups is None else torch.from_numpy(groups).to(self.items.labels.device)

    def features(self, net: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] and labels [N] of all rows, in order, from the feature cache. Raises TypeError if the loader
        has no feature cache."""
        if self._features is None:
            raise TypeError("this loader has no feature cache")
        return self._features(self, net)


def sampler_of(spec: Mapping[str, Any], items: DeviceDataset, batch: int, plugins: Sequence[str] = ()) -> Sampler:
    """The sampler of one stream. `spec` contains its name under "sampler" and its settings. Raises ConfigError if there
    is no such sampler, or if its settings do not fit the rows."""
    settings = dict(spec)
    kind = load_class("samplers", settings.pop("sampler"), plugins)
    sampler: Sampler = kind(items.labels.cpu().numpy(), batch, **settings)
    return sampler
