"""The training loop of one stage: what one step does, and the state it moves. Knows no files, no rules, no screens.

A step is a pure function of (state, seed, role, t); state is the method's tensors and the optimisers'."""

import copy
import math
import os
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Loader, Loss, Method, Progress
from transfer_cli.engine import param_groups, shard
from transfer_cli.engine.device import autocast, reseed
from transfer_cli.engine.ranks import Ranks
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError, Diverged, Fault

Logs = dict[str, Tensor]
NOISE = 0x9E3779B9  # seeds of other ranks and of `after` lie this far apart; odd, so that none meets another soon


class Training:
    """A method, its param_groups and its loaders, moved one step at a time.

    `seed32`: 32-bit seed of step 0, made from (seed, role). `ranks`: the processes that share the work, if several;
    `sharded`: and the parameters. `whole` is the method for all but training: itself, or its twin after `gather`.
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
        self.whole = method
        if ranks and self.sharded:
            self.whole = self._split(ranks)
        self.cast = param_groups.param_groups(method, trainer)
        self.parameters = list(method.parameters())
        self.autocast = autocast(device, precision)
        self.device = device
        self.waits_not = device.type == "cuda"
        self.alone = len(self.cast) == 1
        self.refreshes = type(method).refresh is not Method.refresh
        self.listens = type(method).after is not Method.after
        self.nan_at = int(os.environ.get("TRANSFER_TEST_NAN_AT", -1))
        self.last_finite: tuple[float, int] | None = None
        self.bad_at = torch.full((), math.inf, device=device)  # the first step whose update was skipped there
        if trainer.accumulate > 1 and method.coupled:
            raise ConfigError(Fault("trainer.accumulate", "this method's loss couples the rows of a batch; allowed: 1"))
        self.set_modes()

    def _split(self, ranks: Ranks) -> Method:
        """The method becomes shares; returns a twin of what it was."""
        shard.check(self.method, self.trainer)
        if self.trainer.accumulate > 1:
            raise ConfigError(Fault("trainer.accumulate", "does not go with runtime.shard; allowed: 1"))
        twin = copy.deepcopy(self.method) if ranks.rank == 0 else self.method
        shard.shard(self.method, ranks)
        return twin

    def gather(self) -> None:
        """After it, `whole` of rank 0 is what the steps have made; every rank must call it. Without shares it is so."""
        if self.sharded:
            found = self._wholes(self.method.state_dict())
            if self.whole is not self.method:
                self.whole.load_state_dict(found)

    def _wholes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """At rank 0 the tensors put together, one by one and kept with the host; at the others what takes no room."""
        first = self.ranks is not None and self.ranks.rank == 0
        return {n: x.cpu() if first else x.new_empty(0) for n, x in ((n, shard.whole(x)) for n, x in tensors.items())}

    def set_modes(self) -> None:
        self.awake = self._awake()
        param_groups.set_modes(self.method, self.cast)

    def step(self, t: int) -> Logs:
        """Batch t through the method; returns what it logged, the loss first."""
        reseed((self.seed32 + t) & 0xFFFFFFFF)
        at = Progress(t, self.trainer.steps)
        if self.refreshes:
            self._refresh(at)
        batch = {name: loader[t] for name, loader in self.loaders.items()}
        for group in self.cast.values():
            group.set_rate(param_groups.rate(self.trainer, t))
        if self.ranks:
            self._reseed(t, self.ranks.rank)
        logs = self._micro_batches(batch, at) if self.trainer.accumulate > 1 else self._yields(batch, at)
        if self.ranks:
            self._reseed(t, self.ranks.world)
        if self.listens:
            self.method.after(batch, at, logs)
        if self.ranks:
            self.ranks.average([x for x in self.method.buffers() if x.is_floating_point()])
        return logs

    def _reseed(self, t: int, place: int) -> None:
        """Each rank draws noise of its own within a step; what all do alike has the place after the last."""
        reseed((self.seed32 + t + place * NOISE) & 0xFFFFFFFF)

    def _refresh(self, at: Progress) -> None:
        self.method.refresh(self.loaders, at)
        if self.awake != self._awake():
            if self.sharded:
                raise ConfigError(Fault("runtime.shard", "unfreeze and head_warmup wake whole layers", "true"))
            self.set_modes()

    def _awake(self) -> list[bool]:
        return [p.requires_grad for p in self.parameters]

    def _yields(self, batch: dict[str, Batch], at: Progress) -> Logs:
        logs: Logs = {}
        for loss in self._losses(batch, at):
            if self.ranks:
                loss = self._together(loss, batch)
            else:
                self._backward(loss.value, loss.param_groups)
            self._update(loss, at.step)
            name = "loss" if "loss" not in logs else f"loss/{_names(loss)[0]}"
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

    def _backward(self, value: Tensor, owners: str | tuple[str, ...]) -> None:
        if self.alone:
            value.backward()
            return
        names = (owners,) if isinstance(owners, str) else owners
        inputs = [p for name in names for p in self.cast[name].parameters if p.requires_grad]
        try:
            torch.autograd.backward(value, inputs=inputs)
        except RuntimeError as error:
            if "inplace operation" in str(error):
                raise TypeError(
                    "a yield uses tensors made before the yield in front of it; compute them again"
                ) from error
            raise

    def _together(self, loss: Loss, batch: dict[str, Batch]) -> Loss:
        """Backward on the rows of this rank; gradients, value and logs become means over the rows of all."""
        weight = _weight(loss, batch)
        self._backward(loss.value * weight, loss.param_groups)
        return self._averaged(loss, _weighted(loss, weight), weight)

    def _averaged(self, loss: Loss, sums: Logs, total: float | Tensor) -> Loss:
        """Weighted sums of gradients and logs made means, over all ranks if there are several."""
        gradients = [g for name in _names(loss) for g in self.cast[name].gradients()]
        if self.ranks:
            like = loss.value.detach()
            numbers = torch.stack([*(x.to(like) for x in sums.values()), torch.as_tensor(total).to(like)])
            self.ranks.add([numbers] if self.sharded else [*gradients, numbers])
            sums, total = dict(zip(sums, numbers, strict=False)), numbers[-1]
        if gradients:
            torch._foreach_mul_(gradients, 1 / total)
        logs = {name: value / total for name, value in sums.items()}
        return loss._replace(value=logs.pop("loss"), logs=logs)

    def _micro_batches(self, batch: dict[str, Batch], at: Progress) -> Logs:
        """One optimiser step from several backward passes: gradients averaged by each loss's weight."""
        total: float | Tensor = 0.0
        sums: Logs = {}
        for part in _split(batch, self.trainer.accumulate):
            losses = self._losses(part, at)
            loss = next(losses)
            weight = _weight(loss, part)
            self._backward(loss.value * weight, loss.param_groups)
            if next(losses, None) is not None:
                raise ConfigError(Fault("trainer.accumulate", "this method yields more than one loss; allowed: 1"))
            total = total + weight
            sums = {name: sums.get(name, 0) + value for name, value in _weighted(loss, weight).items()}
        loss = self._averaged(loss, sums, total)
        self._update(loss, at.step)
        return {"loss": loss.value, **loss.logs}

    def _update(self, loss: Loss, t: int) -> None:
        for name in _names(loss):
            group = self.cast[name]
            gradients = group.gradients()
            if gradients:
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
                norm = shard.whole(norm) if self.sharded else norm
                self._guard(group, loss.value, norm, t)
                if group.clip is not None:
                    self._clip(gradients, (group.clip / (norm + 1e-6)).clamp(max=1.0))
                group.optimizer.step()
            group.forget()

    def _clip(self, gradients: list[Tensor], scale: Tensor) -> None:
        """Times `scale` (); where looking at it costs no wait, nothing is multiplied by one."""
        if self.waits_not or float(scale) < 1.0:
            torch._foreach_mul_(gradients, scale)

    def _guard(self, group: param_groups.ParamGroup, value: Tensor, norm: Tensor, t: int) -> None:
        """No non-finite number reaches the weights. On a GPU the update is skipped there, without waiting for it;
        `check` raises at the next log point, before anything is saved."""
        if self.waits_not:
            bad = ~torch.isfinite(norm + value.detach())
            group.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # read by fused kernels
            self.bad_at = torch.minimum(self.bad_at, torch.where(bad, t, math.inf))
            return
        number = float(value.detach())
        if not (math.isfinite(number) and math.isfinite(float(norm))):
            raise diverged(t, self.last_finite)
        self.last_finite = (number, t)

    def check(self, t: int) -> None:
        """Raises Diverged if an update was skipped (GPU only); `t` is where the loop stands."""
        if self.waits_not and math.isfinite(step := float(self.bad_at)):
            raise diverged(int(step), None)

    def state(self) -> dict[str, Tensor]:
        """Everything a step may depend on, by name. With shares, every rank must ask."""
        mine = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        mine |= {f"optimizer.{name}": value for name, value in param_groups.state(self.cast)}
        return self._wholes(mine) if self.sharded else mine

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        mine = _below("method.", tensors)
        self.method.load_state_dict(shard.shares(mine, self.method.state_dict()) if self.sharded else mine)
        param_groups.load_state(self.cast, _below("optimizer.", tensors))


def diverged(t: int, last: tuple[float, int] | None) -> Diverged:
    before = f" (last finite {last[0]:.4g} at {last[1]})" if last else ""
    return Diverged(Fault("training", f"non-finite loss at step {t}{before}; not retried, use --retry-failed"))


def _weight(loss: Loss, batch: dict[str, Batch]) -> float | Tensor:
    return float(sum(map(len, batch.values()))) if loss.weight is None else loss.weight


def _weighted(loss: Loss, weight: float | Tensor) -> Logs:
    return {name: value.detach() * weight for name, value in {"loss": loss.value, **loss.logs}.items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _names(loss: Loss) -> tuple[str, ...]:
    return (loss.param_groups,) if isinstance(loss.param_groups, str) else loss.param_groups


def _split(batch: dict[str, Batch], parts: int) -> Iterator[dict[str, Batch]]:
    """Micro-batches of nearly equal size; a stream with fewer rows than parts gives fewer."""
    parts = min(parts, *(len(rows) for rows in batch.values()))
    for i in range(parts):
        yield {name: _slice(rows, i, parts) for name, rows in batch.items()}


def _slice(rows: Batch, i: int, parts: int) -> Batch:
    return rows.rows(slice(len(rows) * i // parts, len(rows) * (i + 1) // parts))
