"""Each method against what its paper says, computed independently on small data."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from transfer_cli.contracts import Batch, MethodInputs, Progress
from transfer_cli.engine.param_groups import param_groups, set_modes
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError
from transfer_cli.losses import mixing
from transfer_cli.losses.coral import coral
from transfer_cli.methods import linear_probe
from transfer_cli.methods.adabn import Adabn
from transfer_cli.methods.discrepancy import Discrepancy
from transfer_cli.methods.linear_probe import LinearProbe, best_l2
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models.net import build
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

CLASSES = ("a", "b", "c")
INPUT = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
CONV4 = {"family": "conv4", "input": INPUT, "precision": "fp32", "channels_last": False}


def net(seed=0):
    torch.manual_seed(seed)
    made = build(CONV4)
    made.set_head("classify", CLASSES)
    return made


def given(made=None):
    task = Classify(TaskContext(CLASSES))
    return MethodInputs(made or net(), {"target": task, "source": task}, rows={"target": 30, "source": 30})


def pictures(rows=30, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 3
    pixels = torch.randn(rows, 1, 16, 16, generator=generator) + labels.view(-1, 1, 1, 1) * 0.7 + shift
    return Batch({"pixels": pixels}, labels, torch.arange(rows))


class Whole:
    """A loader that is one batch."""

    rows, steps_per_epoch = 30, 1

    def __init__(self, batch):
        self.batch = batch

    def whole(self, batch=None):
        half = len(self.batch) // 2
        for part in (slice(0, half), slice(half, None)):
            yield Batch({"pixels": self.batch.inputs["pixels"][part]}, self.batch.labels[part], self.batch.index[part])

    def features(self, made):
        with torch.no_grad():
            return made.eval().features(self.batch.inputs), self.batch.labels


def awake(method):
    return [all(p.requires_grad for p in block.parameters()) for block in method.learning]


@pytest.mark.parametrize(("blocks", "learns"), [(None, 4), (1, 1), (2, 2), (0, 0), (9, 4)])
def test_blocks_counts_from_the_head(blocks, learns):
    method = Supervised(given(), blocks=blocks)
    assert len(method.learning) == learns
    assert all(not p.requires_grad for block in method.frozen for p in block.parameters())
    assert method.head.weight.requires_grad
    owned = {id(p) for group in param_groups(method, Trainer()).values() for p in group.parameters}
    assert owned == {id(p) for p in method.parameters() if p.requires_grad}


def test_layer_decay_by_hand():
    """Four blocks, decay 1/2: the block below the head gets 1/2, the one below it 1/4 ..., the head 1."""
    scales = [scale for _, scale in Supervised(given(), layer_decay=0.5).param_groups()["net"]]
    assert scales == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]


def test_unfreezing_goes_down_from_the_head_over_the_first_half():
    method = Supervised(given(), unfreeze=True)
    seen = []
    for step in (0, 10, 20, 30, 40, 50, 99):
        method.refresh({}, Progress(step, 100))
        seen.append(awake(method))
    assert seen[0] == [False] * 4
    assert seen[1] == [False, False, False, True]
    assert seen[-1] == seen[-2] == [True] * 4
    assert all(a <= b for early, late in pairwise(seen) for a, b in zip(early, late))


def test_the_head_warms_up_alone():
    method = Supervised(given(), head_warmup=0.2)
    method.refresh({}, Progress(19, 100))
    assert awake(method) == [False] * 4
    method.refresh({}, Progress(20, 100))
    assert awake(method) == [True] * 4


def test_a_partly_frozen_net_keeps_its_frozen_statistics():
    method = Supervised(given(), blocks=1)
    set_modes(method, param_groups(method, Trainer()))
    frozen = [m for block in method.frozen for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    learning = [m for block in method.learning for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(frozen) == 3
    assert len(learning) == 1
    assert not any(m.training for m in frozen)
    assert all(m.training for m in learning)


def test_label_smoothing_by_hand():
    method, batch = Supervised(given(), label_smoothing=0.3), pictures()
    (loss,) = method.eval().step({"target": batch}, Progress(0, 1))
    logp = method.net(batch.inputs).log_softmax(1)
    expected = -(0.7 * logp[torch.arange(30), batch.labels] + 0.3 * logp.mean(1)).mean()
    torch.testing.assert_close(loss.value, expected)


def test_mixup_mixes_inputs_and_losses_by_one_share():
    batch = pictures()
    torch.manual_seed(5)
    mixed, order, share = mixing.mixup(batch.inputs, 0.4)
    pixels = batch.inputs["pixels"]
    torch.testing.assert_close(mixed["pixels"], share * pixels + (1 - share) * pixels[order])
    method = Supervised(given(), mixup=0.4).eval()
    torch.manual_seed(5)
    (loss,) = method.step({"target": batch}, Progress(0, 1))
    out = method.net(mixed)
    expected = share * nn.functional.cross_entropy(out, batch.labels)
    expected = expected + (1 - share) * nn.functional.cross_entropy(out, batch.labels[order])
    torch.testing.assert_close(loss.value, expected)


def test_cutmix_share_is_the_area_that_stays():
    pixels = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 20, 10).contiguous()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, order, share = mixing.cutmix({"pixels": pixels}, 1.0)
        moved = order != torch.arange(6)
        same = (mixed["pixels"] == pixels).float().mean((1, 2, 3))
        torch.testing.assert_close(same[moved], torch.full_like(same[moved], share))


def test_mixup_refuses_tokens():
    tokens = {"ids": torch.zeros(2, 3, dtype=torch.long)}
    with pytest.raises(ConfigError, match=r"mixup=0\.2: blends pictures and vectors; ids are whole numbers"):
        mixing.mixup(tokens, 0.2)
    with pytest.raises(ConfigError, match=r"cutmix=0\.5: cuts boxes out of pictures"):
        mixing.cutmix(tokens, 0.5)


def test_the_average_is_handed_on():
    method = Supervised(given(), ema=0.9)
    first = method.head.weight.detach().clone()
    with torch.no_grad():
        method.head.weight.add_(1.0)
    method.after({}, Progress(0, 1), {})
    torch.testing.assert_close(method.result()["net"].heads["classify"].weight, first + 0.1)


def test_adabn_takes_mean_and_variance_of_all_target_rows():
    """Two batches of 15: the cumulative average equals mean over batches of their mean and unbiased variance."""
    batch, made = pictures(shift=2.0), net()
    Adabn(given(made)).finish({"target": Whole(batch)})
    first = made.backbone.blocks()[0]
    convolution = next(m for m in first.modules() if isinstance(m, nn.Conv2d))
    norm = next(m for m in first.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        halves = [convolution(half.inputs["pixels"]).transpose(0, 1).flatten(1) for half in Whole(batch).whole()]
    torch.testing.assert_close(
        norm.running_mean, torch.stack([h.mean(1) for h in halves]).mean(0), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(norm.running_var, torch.stack([h.var(1) for h in halves]).mean(0), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


def test_adabn_refuses_a_net_without_batch_norm():
    made = build({"family": "mlp", "input": INPUT, "precision": "fp32", "channels_last": False})
    with pytest.raises(ConfigError, match="the net has no BatchNorm layer"):
        Adabn(given(made))


def test_coral_reduces_its_own_distance():
    source, target = pictures(), pictures(seed=1, shift=1.5)
    distances = {}
    for weight in (0.0, 0.5):
        method = Discrepancy(given(), distance="coral", weight=weight, ramp=0.0)
        optimizer = torch.optim.SGD(method.parameters(), 0.05, 0.9)
        for _ in range(30):
            (loss,) = method.step({"source": source, "target": target}, Progress(0, 1))
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
        distances[weight] = loss.logs["coral"].item()
    assert distances[0.5] < 0.5 * distances[0.0]


def test_coral_adds_the_weighted_distance_of_features():
    method = Discrepancy(given(), distance="coral", weight=0.75, scale=2.0, ramp=0.0).eval()
    source, target = pictures(), pictures(seed=1)
    (loss,) = method.step({"source": source, "target": target}, Progress(0, 1))
    near, far = method.net.features(source.inputs), method.net.features(target.inputs)
    label_loss = nn.functional.cross_entropy(method.net(source.inputs), source.labels)
    expected = 0.25 * label_loss + 0.75 * 2.0 * coral(near, far)
    torch.testing.assert_close(loss.value, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    x = rng.normal(size=(90, 8)) * rng.uniform(0.5, 5, 8) + labels[:, None] * rng.normal(size=8)
    return torch.from_numpy(x), torch.from_numpy(labels)


@pytest.mark.parametrize("l2", [1e-3, 0.1])
def test_logistic_agrees_with_scikit_learn(table, l2):
    """sklearn minimises C * sum of losses + |w|^2 / 2: C = 1 / (n * l2)."""
    x, labels = table
    weight = linear_probe.logistic(x, labels, 3, l2)
    theirs = LogisticRegression(C=1 / (len(x) * l2), tol=1e-10, max_iter=5000).fit(x.numpy(), labels.numpy())
    mine = (linear_probe.with_ones(x) @ weight).softmax(1)
    np.testing.assert_allclose(mine, theirs.predict_proba(x.numpy()), atol=2e-3)


@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_ridge_agrees_with_scikit_learn(table, l2):
    x, labels = table
    weight = linear_probe.ridge(x, labels, 3, l2)
    theirs = Ridge(alpha=l2 * len(x)).fit(x.numpy(), np.eye(3)[labels.numpy()])
    np.testing.assert_allclose(linear_probe.with_ones(x) @ weight, theirs.predict(x.numpy()), atol=1e-8)


def test_the_penalty_with_the_best_held_out_loss_is_taken(table):
    """Features of pure noise want the largest penalty; clean ones a small one."""
    _, labels = table
    noise = torch.randn(90, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert best_l2(linear_probe.logistic, noise, labels, 3, 5) >= 0.1
    clean = nn.functional.one_hot(labels, 3).double() * 5
    assert best_l2(linear_probe.logistic, clean, labels, 3, 5) <= 1e-3


@pytest.mark.parametrize("solver", ["logistic", "ridge"])
def test_the_standardisation_is_folded_into_the_head(solver):
    """The head on raw features = the solution on standardised ones."""
    made, batch = net(), pictures()
    LinearProbe(given(made), solver=solver, l2=0.01).finish({"target": Whole(batch)})
    x, labels = Whole(batch).features(made)
    z = (x - x.mean(0)) / x.std(0, correction=0).clamp_min(1e-6)
    weight = {"logistic": linear_probe.logistic, "ridge": linear_probe.ridge}[solver](z, labels, 3, 0.01)
    with torch.no_grad():
        torch.testing.assert_close(made.heads["classify"](x), linear_probe.with_ones(z) @ weight, rtol=1e-3, atol=1e-3)
