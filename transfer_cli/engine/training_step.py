"""The training of one stage, a step at a time: what one step does, and the state it moves. Knows no files, no selection
rules, no screens.

A step is a pure function of (state, seed, role, t); state is the method's tensors and the optimisers'."""

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
NOISE = 0x9E3779B9  # distance between the seeds of processes; odd, so that no two of them meet soon


class Training:
    """A method, its parameter groups and its loaders, moved one step at a time.

    `seed32`: 32-bit seed of step 0, derived from (seed, role). `ranks`: the processes that share the work, if several;
    `sharded`: and the parameters. `whole` is the method for all but training: itself, or its copy after `gather`.
    Raises TypeError for a parameter without an owner and ConfigError for `accumulate` on a method whose loss couples
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
        # a hook that a method leaves as it is costs nothing
        self.refreshes, self.draws, self.follows = (
            getattr(type(method), hook) is not getattr(Method, hook) for hook in ("refresh", "draw", "after")
        )
        self.nan_at = int(os.environ.get("TRANSFER_TEST_NAN_AT", -1))
        self.set_modes()

    def _split(self, ranks: Ranks) -> Method:
        """Each process keeps its share of the method's parameters; returns a copy of the method as it was."""
        shard.check(self.method, self.trainer)
        if self.trainer.accumulate > 1:
            raise ConfigError(Fault("trainer.accumulate", "does not go with runtime.shard; allowed: 1"))
        twin = copy.deepcopy(self.method) if ranks.rank == 0 else self.method
        shard.shard(self.method, ranks)
        return twin

    def set_modes(self) -> None:
        """Training mode for the modules that learn now, eval mode for the others."""
        self.awake = self._awake()
        param_groups.set_modes(self.method, self.groups)

    def _awake(self) -> list[bool]:
        return [p.requires_grad for p in self.parameters]

    def step(self, t: int) -> Logs:
        """Batch t through the method; returns what it logged, the loss first."""
        reseed((self.seed32 + t) & 0xFFFFFFFF)
        at = Progress(t, self.trainer.steps)
        if self.refreshes:
            self._refresh(at)
        batch = self._chosen(at) if self.draws else {name: loader[t] for name, loader in self.loaders.items()}
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
        """Within a step each process draws its own noise; draws that all processes share use index `world`."""
        reseed((self.seed32 + t + index * NOISE) & 0xFFFFFFFF)

    def _refresh(self, at: Progress) -> None:
        self.method.refresh(self.loaders, at)
        if self.awake != self._awake():
            if self.sharded:
                raise ConfigError(Fault("runtime.shard", "unfreeze and head_warmup wake whole layers", "true"))
            self.set_modes()

    def _chosen(self, at: Progress) -> dict[str, Batch]:
        """The batch of a method that chooses rows or views; a stream of which it chooses no row is not in it."""
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
        """One optimiser step from several backward passes: gradients averaged by each loss's weight."""
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
        """Raises Diverged if an update was skipped (GPU only); `t` is where the loop stands."""
        self.updates.check(t)

    # state
    def gather(self) -> None:
        """Brings `whole` of rank 0 to what the steps have reached; every process must call it. Without shares `whole`
        is the method itself, and there is nothing to do."""
        if self.sharded:
            tensors = self._wholes(self.method.state_dict())
            if self.whole is not self.method:
                self.whole.load_state_dict(tensors)

    def _wholes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors put together one by one: at rank 0 on the host, at the others empty, to take no room."""
        first = self.ranks is not None and self.ranks.rank == 0
        return {n: x.cpu() if first else x.new_empty(0) for n, x in ((n, shard.whole(x)) for n, x in tensors.items())}

    def state(self) -> dict[str, Tensor]:
        """Everything a step may depend on, by name. With shares, every process must call it."""
        mine = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        mine |= {f"optimizer.{name}": value for name, value in param_groups.state(self.groups)}
        return self._wholes(mine) if self.sharded else mine

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        mine = _below("method.", tensors)
        self.method.load_state_dict(shard.shares(mine, self.method.state_dict()) if self.sharded else mine)
        param_groups.load_state(self.groups, _below("optimizer.", tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
