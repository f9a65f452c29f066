"""The training step of one stage and the state that it changes. Files, snapshot selection and the display of progress
are in trainer.py.

A step is a pure function of (state, seed, role, t). The state consists of the tensors of the method and of the
optimisers."""

import copy
import os
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Loader, Loss, Method, Progress
from transfer_cli.engine import param_groups, shard
from transfer_cli.engine.device import autocast, reseed
from transfer_cli.engine.micro_batches import split, weight_of, weighted
from transfer_cli.engine.ranks import Ranks
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.updates import Updates
from transfer_cli.errors import ConfigError, Fault

Logs = dict[str, Tensor]
NOISE = 0x9E3779B9  # distance between the seeds of processes; odd and large, so that their seeds do not coincide


class Training:
    """A method with its parameter groups and its data loaders; `step` trains it by one step.

    `seed32`: the 32-bit seed of step 0, derived from (seed, role). `ranks`: the processes, if several compute a step
    together; `sharded`: whether they also distribute the parameters. `whole`: the method with whole tensors, for
    everything but training: the method itself or, with sharding, a copy that `gather` updates.
    Raises TypeError for a parameter without a group, and ConfigError for `accumulate` with a method whose loss couples
    rows."""

    def __init__(
        self,
        method: Method,
        loaders: Mapping[str, Loader],
        trainer: Trainer,
        *,
        seed32: int,
        precision: str,
        device: torch.device,
        ranks: Ranks | None = None,
        sharded: bool = False,
    ) -> None:
        self.method, self.loaders, self.trainer, self.seed32 = method, dict(loaders), trainer, seed32
        self.ranks, self.sharded = ranks, sharded and ranks is not None
        if trainer.accumulate > 1 and method.coupled:
            raise ConfigError(Fault("trainer.accumulate", "this method's loss couples the rows of a batch; allowed: 1"))
        self.whole = self._split(ranks) if ranks and self.sharded else method
        self.groups = param_groups.param_groups(method, trainer)
        self.updates = Updates(self.groups, device, ranks, self.sharded)
        self.parameters = list(method.parameters())
        self.autocast = autocast(device, precision)
        # a hook that the method does not override is not called
        self.refreshes, self.draws, self.follows = (
            getattr(type(method), hook) is not getattr(Method, hook) for hook in ("refresh", "draw", "after")
        )
        self.nan_at = int(os.environ.get("TRANSFER_TEST_NAN_AT", -1))
        self.set_modes()

    def _split(self, ranks: Ranks) -> Method:
        """Shards the parameters of the method; returns a copy of the method with whole parameters (at rank 0)."""
        shard.check(self.method, self.trainer)
        if self.trainer.accumulate > 1:
            raise ConfigError(Fault("trainer.accumulate", "does not go with runtime.shard; allowed: 1"))
        unsharded = copy.deepcopy(self.method) if ranks.rank == 0 else self.method
        shard.shard(self.method, ranks)
        return unsharded

    def set_modes(self) -> None:
        """Sets training mode for the modules that are trained now, and eval mode for the others."""
        self.trainable = self._trainable()
        param_groups.set_modes(self.method, self.groups)

    def _trainable(self) -> list[bool]:
        return [p.requires_grad for p in self.parameters]

    def step(self, t: int) -> Logs:
        """Trains the method on batch t; returns its logs, the loss first. Raises Diverged for a non-finite loss."""
        reseed((self.seed32 + t) & 0xFFFFFFFF)
        at = Progress(t, self.trainer.steps)
        if self.refreshes:
            self._refresh(at)
        batch = self._drawn(at) if self.draws else {name: loader[t] for name, loader in self.loaders.items()}
        for group in self.groups.values():
            group.set_rate(param_groups.rate(self.trainer, t))
        if self.ranks:
            self._reseed(t, self.ranks.rank)
        logs = self._micro_batches(batch, at) if self.trainer.accumulate > 1 else self._yields(batch, at)
        if self.ranks:
            self._reseed(t, self.ranks.world)
        if self.follows:
            self.method.after(batch, at, logs)
        if self.ranks:
            self.ranks.average([x for x in self.method.buffers() if x.is_floating_point()])
        return logs

    def _reseed(self, t: int, index: int) -> None:
        """Within a step, each process uses its own random numbers; draws shared by all ranks use index `world`."""
        reseed((self.seed32 + t + index * NOISE) & 0xFFFFFFFF)

    def _refresh(self, at: Progress) -> None:
        self.method.refresh(self.loaders, at)
        if self.trainable != self._trainable():
            if self.sharded:
                raise ConfigError(Fault("runtime.shard", "unfreeze and head_warmup unfreeze whole layers", "true"))
            self.set_modes()

    def _drawn(self, at: Progress) -> dict[str, Batch]:
        """The batch of a method that chooses rows or views. A stream for which it chooses no rows is left out."""
        draws = self.method.draw(at)
        if unknown := sorted(draws.keys() - self.loaders.keys()):
            raise TypeError(f"`draw` chooses for {unknown[0]}, which is no stream of this stage")
        batch = {}
        for name, loader in self.loaders.items():
            draw = draws.get(name)
            if draw is None:
                batch[name] = loader[at.step]
            elif draw.rows is None or len(draw.rows):
                batch[name] = loader.at(at.step, draw)
        return batch

    def _yields(self, batch: dict[str, Batch], at: Progress) -> Logs:
        logs: Logs = {}
        for loss in self._losses(batch, at):
            if self.ranks:
                loss = self.updates.together(loss, weight_of(loss, batch))
            else:
                self.updates.backward(loss.value, loss.param_groups)
            self.updates.apply(loss, at.step)
            first = loss.param_groups if isinstance(loss.param_groups, str) else loss.param_groups[0]
            name = "loss" if "loss" not in logs else f"loss/{first}"
            logs |= {name: loss.value.detach(), **{k: v.detach() for k, v in loss.logs.items()}}
        return logs

    def _losses(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        generator = self.method.step(batch, at)
        while True:
            with self.autocast:
                loss = next(generator, None)
            if loss is None:
                return
            if at.step == self.nan_at:
                loss = loss._replace(value=loss.value * float("nan"))
            yield loss

    def _micro_batches(self, batch: dict[str, Batch], at: Progress) -> Logs:
        """One optimiser step from several backward passes: gradients are averaged by the weights of the losses."""
        total: float | Tensor = 0.0
        sums: Logs = {}
        for part in split(batch, self.trainer.accumulate):
            losses = self._losses(part, at)
            loss = next(losses)
            weight = weight_of(loss, part)
            self.updates.backward(loss.value * weight, loss.param_groups)
            if next(losses, None) is not None:
                raise ConfigError(Fault("trainer.accumulate", "this method yields more than one loss; allowed: 1"))
            total = total + weight
            sums = {name: sums.get(name, 0) + value for name, value in weighted(loss, weight).items()}
        loss = self.updates.averaged(loss, sums, total)
        self.updates.apply(loss, at.step)
        return {"loss": loss.value, **loss.logs}

    def check(self, t: int) -> None:
        """Raises Diverged if an update was skipped before step `t` (GPU only)."""
        self.updates.check(t)

    # state
    def gather(self) -> None:
        """Updates `whole` at rank 0 to the current parameters. Every process must call it. Does nothing without
        sharding, because `whole` is then the method itself."""
        if self.sharded:
            tensors = self._wholes(self.method.state_dict())
            if self.whole is not self.method:
                self.whole.load_state_dict(tensors)

    def _wholes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gathers whole tensors one by one: on the CPU at rank 0, empty tensors at the other ranks to save memory."""
        first = self.ranks is not None and self.ranks.rank == 0
        return {n: x.cpu() if first else x.new_empty(0) for n, x in ((n, shard.whole(x)) for n, x in tensors.items())}

    def state(self) -> dict[str, Tensor]:
        """All tensors on which a step depends, by name. With sharding, every process must call it."""
        tensors = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in param_groups.state(self.groups)}
        return self._wholes(tensors) if self.sharded else tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores the tensors that `state` returned."""
        of_method = _below("method.", tensors)
        self.method.load_state_dict(shard.shares(of_method, self.method.state_dict()) if self.sharded else of_method)
        param_groups.load_state(self.groups, _below("optimizer.", tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
