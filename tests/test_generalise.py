"""Domain generalisation: each method against its paper's formula, computed independently in float64."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transfer_cli.contracts import Batch, MethodInputs, Progress
from transfer_cli.engine.param_groups import param_groups, set_modes
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError
from transfer_cli.losses.coral import coral
from transfer_cli.losses.irm import irm_penalty
from transfer_cli.losses.style import restyled
from transfer_cli.methods.coral_dg import CoralDg
from transfer_cli.methods.erm import Erm
from transfer_cli.methods.groupdro import Groupdro
from transfer_cli.methods.irm import Irm
from transfer_cli.methods.linear_probe import best_l2, logistic
from transfer_cli.methods.mixstyle import Mixstyle
from transfer_cli.models.net import build
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

CLASSES = ("a", "b", "c")
INPUT = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
DOMAINS = ("art", "photo", "sketch")
NEED_DOMAINS = (Irm, Groupdro, CoralDg)


def given(family: str = "conv4", domains: tuple[str, ...] = DOMAINS) -> MethodInputs:
    torch.manual_seed(0)
    net = build({"family": family, "input": INPUT, "precision": "fp32", "channels_last": False})
    net.set_head("classify", CLASSES)
    return MethodInputs(net.double(), {"source": Classify(TaskContext(CLASSES))}, {"source": 30}, {"source": domains})


def batch(domains: list[int], seed: int = 0) -> dict[str, Batch]:
    rows = len(domains)
    pixels = torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = torch.arange(rows) % 3
    return {"source": Batch({"pixels": pixels}, labels, torch.arange(rows), (), torch.tensor(domains))}


MIXED = [0, 1, 2, 0, 1, 2, 0, 1, 0, 0]


LATE = Progress(9, 10)


def loss_of(method: Any, rows: dict[str, Batch], at: Progress = LATE) -> Any:
    (loss,) = method.step(rows, at)
    return loss


def scores(method: Any, rows: dict[str, Batch]) -> torch.Tensor:
    made: torch.Tensor = method.net(rows["source"].inputs, "classify")
    return made


def risks(method: Any, rows: dict[str, Batch]) -> list[torch.Tensor]:
    """Cross-entropy of each domain that is there."""
    source, out = rows["source"], scores(method, rows)
    assert source.domains is not None
    assert source.labels is not None
    found = sorted(set(source.domains.tolist()))
    return [nn.functional.cross_entropy(out[source.domains == d], source.labels[source.domains == d]) for d in found]


def close(mine: Any, want: Any) -> None:
    """Tasks give float32."""
    torch.testing.assert_close(mine, want, rtol=1e-5, atol=1e-6, check_dtype=False)


def test_erm_is_the_loss_of_all_rows_whatever_their_domain() -> None:
    method, rows = Erm(given()).eval(), batch(MIXED)
    want = nn.functional.cross_entropy(scores(method, rows), rows["source"].target())
    close(loss_of(method, rows).value, want)
    assert all(not stream.startswith("target") for stream in Erm.streams)


# irm
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_irm_penalty_and_its_gradient_are_those_of_autograd(scale: float) -> None:
    torch.manual_seed(1)
    out, labels = (scale * torch.randn(7, 4, dtype=torch.float64)).requires_grad_(), torch.arange(7) % 4
    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(out * one, labels), one, create_graph=True)
    mine = irm_penalty(out, labels)
    torch.testing.assert_close(mine, slope.square())
    torch.testing.assert_close(*(torch.autograd.grad(value, out)[0] for value in (mine, slope.square())))


@pytest.mark.parametrize(("step", "weight"), [(0, 1.0), (1, 50.0), (9, 50.0)])
def test_irm_by_hand(step: int, weight: float) -> None:
    method, rows = Irm(given(), weight=50.0, anneal=0.1).eval(), batch(MIXED)
    source, out = rows["source"], scores(method, rows)
    penalties = [irm_penalty(out[source.domains == d], source.target()[source.domains == d]) for d in range(3)]
    want = (torch.stack(risks(method, rows)).mean() + weight * torch.stack(penalties).mean()) / weight
    close(loss_of(method, rows, Progress(step, 10)).value, want)


# groupdro
def test_groupdro_moves_its_shares_and_weighs_the_losses_by_them() -> None:
    method = Groupdro(given(), eta=0.5).eval().double()
    q = np.full(3, 1 / 3)
    for seed in range(3):
        rows = batch(MIXED, seed)
        losses = np.array([float(risk.detach()) for risk in risks(method, rows)])
        q = q * np.exp(0.5 * losses)
        q = q / q.sum()
        before = method.q.clone()
        loss = loss_of(method, rows)
        assert torch.equal(method.q, before)  # a step writes nothing
        np.testing.assert_allclose(float(loss.value.detach()), (q * losses).sum(), rtol=1e-6)
        method.after(rows, Progress(0, 1), {name: value.detach() for name, value in loss.logs.items()})
        np.testing.assert_allclose(method.q.numpy(), q, rtol=1e-6)
    assert method.q.argmax() == losses.argmax()


def test_a_domain_that_the_batch_lacks_is_no_reason_to_stop() -> None:
    rows = batch([0, 0, 0, 0, 2, 2])
    for kind in NEED_DOMAINS:
        assert torch.isfinite(loss_of(kind(given()).eval(), rows).value)
    lone = loss_of(CoralDg(given()).eval(), batch([0, 0, 0, 0, 1]))  # one row of a domain has no covariance
    assert float(lone.logs["coral"]) == 0.0


# coral
def test_coral_dg_is_the_mean_of_all_pairs() -> None:
    method, rows = CoralDg(given(), weight=3.0).eval(), batch(MIXED)
    source, features = rows["source"], method.net.features(rows["source"].inputs)
    even = features / features.std(0, correction=0).square().mean().sqrt()
    clouds = [even[source.domains == d].float() for d in range(3)]
    distance = torch.stack([coral(a, b) for a, b in combinations(clouds, 2)]).mean()
    label = nn.functional.cross_entropy(scores(method, rows), source.target())
    close(loss_of(method, rows).value, label + 3.0 * distance)


def test_the_scale_of_features_is_no_matter_of_coral_dg() -> None:
    large, small = CoralDg(given()).eval(), CoralDg(given()).eval()
    large.net.backbone.register_forward_hook(lambda module, inputs, out: 600 * out)
    rows = batch(MIXED)
    close(loss_of(large, rows).logs["coral"], loss_of(small, rows).logs["coral"])


# mixstyle
def test_share_one_keeps_the_style_and_share_zero_takes_the_others() -> None:
    torch.manual_seed(0)
    maps = 3 * torch.randn(4, 5, 6, 7, dtype=torch.float64) + torch.arange(4.0, dtype=torch.float64).view(4, 1, 1, 1)
    order = torch.tensor([1, 2, 3, 0])
    torch.testing.assert_close(restyled(maps, order, torch.ones(4)), maps)
    swapped = restyled(maps, order, torch.zeros(4))
    torch.testing.assert_close(swapped.mean((2, 3)), maps[order].mean((2, 3)))
    torch.testing.assert_close(swapped.std((2, 3)), maps[order].std((2, 3)), rtol=1e-5, atol=1e-5)
    half = restyled(maps, order, torch.full((4,), 0.25))
    torch.testing.assert_close(half.mean((2, 3)), 0.25 * maps.mean((2, 3)) + 0.75 * maps[order].mean((2, 3)))


def test_statistics_carry_no_gradient() -> None:
    maps = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    restyled(maps, torch.tensor([1, 0]), torch.zeros(2)).sum().backward()
    spread = maps.detach().std((2, 3), correction=0)
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad[:, 0, 0, 0], (spread[[1, 0]] / spread).flatten(), rtol=1e-4, atol=1e-4)


def test_mixstyle_mixes_in_steps_and_nowhere_else() -> None:
    method, rows = Mixstyle(given(), probability=1.0), batch(MIXED)
    set_modes(method, param_groups(method, Trainer()))
    norms = [m for m in method.net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.0  # so that passes in training mode leave no trace
    plain = nn.functional.cross_entropy(scores(method, rows), rows["source"].target())
    torch.manual_seed(0)
    mixed = loss_of(method, rows).value
    assert abs(float(mixed.detach()) - float(plain.detach())) > 1e-4
    torch.testing.assert_close(nn.functional.cross_entropy(scores(method, rows), rows["source"].target()), plain)
    assert not any(module._forward_hooks for module in method.modules())
    assert set(method.state_dict()) == {f"net.{name}" for name in method.net.state_dict()}
    method.probability = 0.0
    close(loss_of(method, rows).value, plain)


def test_mixstyle_leaves_no_hook_behind_a_step_that_fails() -> None:
    method = Mixstyle(given("mlp"))
    with pytest.raises(ConfigError, match="align=mixstyle: none of the first 3 blocks outputs feature maps of images"):
        loss_of(method, batch(MIXED))
    assert not any(module._forward_hooks for module in method.modules())


@pytest.mark.parametrize("kind", NEED_DOMAINS)
def test_one_domain_is_none(kind: Any) -> None:
    for domains, said in ((("art",), "it has one, art"), ((), "it has no domain axis")):
        with pytest.raises(ConfigError, match=said):
            kind(given(domains=domains))


class Rows:
    """A loader of made-up pictures and what a net makes of them."""

    def __init__(self, rows: int = 30) -> None:
        self.pixels = torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.labels = torch.arange(rows) % 3

    def features(self, net: Any) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return net.eval().features({"pixels": self.pixels}).float(), self.labels


def without_norms() -> MethodInputs:
    made = given()
    for norm in [m for m in made.net.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.running_mean.fill_(0.1)  # as if it had met rows
    return made


def test_the_head_begins_as_the_linear_probe_of_the_net_that_comes_in():
    """Against scikit-learn's logistic regression on standardised features, its penalty the one that was picked."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, method = Rows(), Erm(without_norms())
    before = method.net.heads["classify"].weight.clone()
    method.refresh({"source": rows}, Progress(0, 10))
    head = method.net.heads["classify"]
    assert not torch.equal(head.weight, before)
    features, labels = rows.features(method.net)
    x = (features - features.mean(0)) / features.std(0, correction=0).clamp_min(1e-6)
    l2 = best_l2(logistic, x, labels, 3, 5)
    other = linear_model.LogisticRegression(C=1 / (l2 * len(x)), max_iter=5_000, tol=1e-8).fit(x.numpy(), labels)
    found = (features.double() @ head.weight.T + head.bias).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, other.predict_proba(x.numpy()), atol=2e-3)


def test_later_steps_leave_the_head_alone_and_so_does_a_net_of_new_norms():
    for made, at in ((without_norms(), Progress(1, 10)), (given(), Progress(0, 10))):
        method = Erm(made)
        before = method.net.heads["classify"].weight.clone()
        method.refresh({"source": Rows()}, at)
        assert torch.equal(method.net.heads["classify"].weight, before)
