"""From a loss to updated parameters: backward pass, gradient clipping, optimiser step. Also computes means over
processes and checks that values are finite."""

import math

import torch
from torch import Tensor

from transfer_cli.contracts import Loss
from transfer_cli.engine import shard
from transfer_cli.engine.micro_batches import weighted
from transfer_cli.engine.param_groups import ParamGroup
from transfer_cli.engine.ranks import Ranks
from transfer_cli.errors import Diverged, Fault


class Updates:
    """Updates the parameters of `groups` by the losses of a method. `ranks`: the processes, if several share the rows
    of a batch; `sharded`: whether they also share the parameters. `runs_ahead`: the host does not wait for the device
    (a GPU), so a non-finite loss is detected later."""

    def __init__(
        self, groups: dict[str, ParamGroup], device: torch.device, ranks: Ranks | None = None, sharded: bool = False
    ) -> None:
        self.groups, self.ranks, self.sharded = groups, ranks, sharded
        self.runs_ahead = device.type == "cuda"
        self._single = len(groups) == 1
        self._last_finite: tuple[float, int] | None = None
        self._bad_at = torch.full((), math.inf, device=device)  # the first skipped step

    def backward(self, value: Tensor, names: str | tuple[str, ...]) -> None:
        """Computes the gradients of `value` for the groups with these names. Raises TypeError if the autograd graph
        crosses a yield."""
        if self._single:
            value.backward()
            return
        inputs = [p for name in _tuple(names) for p in self.groups[name].parameters if p.requires_grad]
        try:
            torch.autograd.backward(value, inputs=inputs)
        except RuntimeError as error:
            if "inplace operation" in str(error):
                raise TypeError(
                    "a loss uses tensors computed before the previous yield; compute them again after it"
                ) from error
            raise

    def together(self, loss: Loss, weight: float | Tensor) -> Loss:
        """Runs the backward pass on the rows of this process, then averages gradients, value and logs over the rows of
        all processes."""
        self.backward(loss.value * weight, loss.param_groups)
        return self.averaged(loss, weighted(loss, weight), weight)

    def averaged(self, loss: Loss, sums: dict[str, Tensor], total: float | Tensor) -> Loss:
        """Divides the weighted sums of gradients, value and logs by the sum of the weights, over all processes if there
        are several."""
        gradients = [g for name in _tuple(loss.param_groups) for g in self.groups[name].gradients()]
        if self.ranks:
            like = loss.value.detach()
            numbers = torch.stack([*(x.to(like) for x in sums.values()), torch.as_tensor(total).to(like)])
            self.ranks.sum([numbers] if self.sharded else [*gradients, numbers])
            sums, total = dict(zip(sums, numbers, strict=False)), numbers[-1]
        if gradients:
            torch._foreach_mul_(gradients, 1 / total)
        logs = {name: value / total for name, value in sums.items()}
        return loss._replace(value=logs.pop("loss"), logs=logs)

    def apply(self, loss: Loss, t: int) -> None:
        """One optimiser step of the groups of `loss` with their current gradients. Raises Diverged for a non-finite
        loss or gradient."""
        for name in _tuple(loss.param_groups):
            group = self.groups[name]
            gradients = group.gradients()
            if gradients:
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
                norm = shard.whole(norm) if self.sharded else norm
                self._guard(group, loss.value, norm, t)
                if group.clip is not None:
                    self._clip(gradients, (group.clip / (norm + 1e-6)).clamp(max=1.0))
                group.optimizer.step()
            group.clear_gradients()

    def check(self, t: int) -> None:
        """Raises Diverged if an update was skipped before step `t` (GPU only)."""
        if self.runs_ahead and math.isfinite(step := float(self._bad_at)):
            raise _diverged(int(step), None)

    def _clip(self, gradients: list[Tensor], scale: Tensor) -> None:
        """Multiplies gradients by `scale`, a tensor (). On a CPU, where reading `scale` takes no time, a scale of one
        is skipped."""
        if self.runs_ahead or float(scale) < 1.0:
            torch._foreach_mul_(gradients, scale)

    def _guard(self, group: ParamGroup, value: Tensor, norm: Tensor, t: int) -> None:
        """Prevents updates with non-finite numbers. On a GPU, the update is skipped on the device without waiting, and
        `check` raises Diverged at the next logged row, before anything is saved."""
        if self.runs_ahead:
            bad = ~torch.isfinite(norm + value.detach())
            group.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # read by fused kernels
            self._bad_at = torch.minimum(self._bad_at, torch.where(bad, t, math.inf))
            return
        number = float(value.detach())
        if not (math.isfinite(number) and math.isfinite(float(norm))):
            raise _diverged(t, self._last_finite)
        self._last_finite = (number, t)


def _diverged(t: int, last: tuple[float, int] | None) -> Diverged:
    before = f" (last finite {last[0]:.4g} at {last[1]})" if last else ""
    return Diverged(Fault("training", f"non-finite loss at step {t}{before}; not retried, use --retry-failed"))


def _tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
