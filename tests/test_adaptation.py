"""Methods of domain adaptation on clouds whose shift is known: each reduces its own distance, and target accuracy
rises; and what each loses, computed independently."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Method, MethodInputs, Progress
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.training_step import Training
from transfer_cli.losses.coral import coral
from transfer_cli.losses.mmd import mk_mmd
from transfer_cli.methods.adda import Adda
from transfer_cli.methods.afn import Afn
from transfer_cli.methods.bsp import Bsp
from transfer_cli.methods.cdan import Cdan
from transfer_cli.methods.dann import Dann
from transfer_cli.methods.discrepancy import Discrepancy
from transfer_cli.methods.mcc import Mcc
from transfer_cli.methods.mcd import Mcd
from transfer_cli.methods.mdd import Mdd
from transfer_cli.methods.shot import Shot, pseudo_labels
from transfer_cli.models.net import build
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

CLASSES = ("a", "b", "c")
ROWS, STEPS = 300, 150
CORNERS = torch.tensor([[0.0, 3.0], [2.6, -1.5], [-2.6, -1.5]])


def cloud(seed: int, degrees: float = 0.0, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Three Gaussian clouds, turned about the origin and moved to the right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(ROWS) % 3
    points = CORNERS[labels] + 0.6 * torch.randn(ROWS, 2, generator=generator)
    angle = torch.tensor(degrees).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    return points @ turn + torch.tensor([shift, 0.0]), labels


class Rows:
    """A loader over all rows of a cloud, in batches of 60."""

    rows, batch, steps_per_epoch = ROWS, 60, 5

    def __init__(self, points: Tensor, labels: Tensor | None) -> None:
        self.points, self.labels = points, labels

    def __getitem__(self, t: int) -> Batch:
        return self._batch(torch.from_numpy(np.random.default_rng(t).permutation(ROWS)[: self.batch]))

    def _batch(self, index: Tensor) -> Batch:
        inputs = {"vectors": self.points[index]}
        return Batch(inputs, None if self.labels is None else self.labels[index], index, (inputs,))

    def whole(self, batch: int | None = None) -> Any:
        yield from map(self._batch, torch.arange(ROWS).split(128))


def net() -> Any:
    torch.manual_seed(0)
    node = {"family": "mlp", "hidden": (32, 16), "input": {"width": 2}, "precision": "fp32", "channels_last": False}
    made = build(node)
    made.set_head("classify", CLASSES)
    return made


SOURCE, TARGET = cloud(0), cloud(1, degrees=40, shift=1.0)
NEAR, FAR = Rows(*SOURCE), Rows(TARGET[0], None)
Make = Callable[..., Method]


def given(made: Any) -> MethodInputs:
    task = Classify(TaskContext(CLASSES))
    return MethodInputs(made, {"source": task, "target": task}, rows={"source": ROWS, "target": ROWS})


def trained(make: Make, made: Any, lr: float = 0.01, steps: int = STEPS, **settings: Any) -> Any:
    """The net that the method hands on."""
    method = make(given(made), **settings)
    loaders = {"source": NEAR, "target": FAR}
    loaders = {name: loaders[name] for name, stream in type(method).streams.items() if not stream.optional}
    trainer = Trainer(steps=steps, batch=60, lr=lr)
    training = Training(method, loaders, trainer, seed32=1, precision="fp32", device=torch.device("cpu"))
    for t in range(steps):
        training.step(t)
    return method.eval().result()["net"]


@torch.no_grad()
def accuracy(made: Any, points: Tensor, labels: Tensor) -> float:
    return float((made.eval()({"vectors": points}).argmax(1) == labels).float().mean())


@pytest.fixture(scope="module")
def source_net() -> Any:
    return trained(Discrepancy, net(), weight=0.0)


def fresh(source_net: Any) -> Any:
    made = net()
    made.load_state_dict(source_net.state_dict())
    return made


def test_the_shift_hurts_the_source_net(source_net: Any) -> None:
    assert accuracy(source_net, *SOURCE) > 0.98
    assert accuracy(source_net, *TARGET) < 0.85


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (Discrepancy, {"distance": "euclidean", "scale": 5.0}),
        (Discrepancy, {"distance": "mmd", "scale": 5.0}),
        (Discrepancy, {"distance": "mk_mmd"}),
        (Discrepancy, {"distance": "jmmd"}),
        (Discrepancy, {"distance": "swd"}),
        (Discrepancy, {"distance": "wasserstein"}),
        (Dann, {"hidden": 32}),
        (Cdan, {"hidden": 32}),
        (Cdan, {"hidden": 32, "random": 24, "entropy": True}),
        (Bsp, {"hidden": 32}),
        (Mcd, {"generator_steps": 2}),
        (Mcd, {"between": "swd", "weight": 20.0, "generator_steps": 2}),
        (Adda, {"hidden": 32, "pace": 1.0}),
        (Mdd, {"hidden": 32, "reversal": 1.0}),
        (Mcc, {}),
        (Shot, {}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "-".join(map(str, value.values())),
)
def test_target_accuracy_rises(source_net: Any, make: Make, settings: dict[str, Any]) -> None:
    """By five points or more over the source net, which has 82 %."""
    before = accuracy(source_net, *TARGET)
    assert accuracy(trained(make, fresh(source_net), **settings), *TARGET) > before + 0.05


def test_a_critic_is_fooled(source_net: Any) -> None:
    """Features of both sides lie nearer to each other, by a measure that no discriminator knows."""

    @torch.no_grad()
    def apart(made: Any) -> float:
        return mk_mmd(*(made.eval().features({"vectors": x}) for x in (SOURCE[0], TARGET[0]))).item()

    assert apart(trained(Dann, fresh(source_net), hidden=32, weight=3.0)) < 0.6 * apart(source_net)


@pytest.mark.parametrize("name", ["coral", "mk_mmd"])
def test_a_discrepancy_reduces_its_own_distance(source_net: Any, name: str) -> None:
    distance = {"coral": coral, "mk_mmd": mk_mmd}[name]
    left = {}
    for weight in (0.0, 0.5):
        made = trained(Discrepancy, fresh(source_net), distance=name, weight=weight, scale=5.0).eval()
        with torch.no_grad():
            left[weight] = distance(*(made.features({"vectors": x}) for x in (SOURCE[0], TARGET[0]))).item()
    assert left[0.5] < 0.3 * left[0.0]


def pair() -> dict[str, Batch]:
    return {"source": NEAR[0], "target": FAR[1]}


def losses(method: Method) -> list[Any]:
    return list(method.eval().step(pair(), Progress(1, 1)))


def test_weight_mixes_the_general_form(source_net: Any) -> None:
    method = Discrepancy(given(fresh(source_net)), distance="mmd", weight=0.25, scale=2.0, ramp=0.0)
    (loss,) = losses(method)
    expected = 0.25 * 2.0 * loss.logs["mmd"] + 0.75 * loss.logs["label"]
    torch.testing.assert_close(loss.value, expected)


def test_few_target_labels_count_as_source_rows_do(source_net: Any) -> None:
    method = Discrepancy(given(fresh(source_net)), weight=0.0, ramp=0.0)
    few = Rows(*TARGET)._batch(torch.arange(6))
    (loss,) = method.eval().step({**pair(), "few": few}, Progress(0, 1))
    rows = [NEAR[0], few]
    out = torch.cat([method.net(batch.inputs) for batch in rows])
    expected = nn.functional.cross_entropy(out, torch.cat([batch.target() for batch in rows]))
    torch.testing.assert_close(loss.value, expected)


def test_dann_pulls_the_net_against_its_critic(source_net: Any) -> None:
    """The gradient of the net is that of the labels minus the discriminator's own, of the discriminator its own."""
    method = Dann(given(fresh(source_net)), weight=0.5, ramp=0.0, hidden=8)
    (loss,) = losses(method)
    weight = method.net.backbone.layers[0][0].weight
    (got,) = torch.autograd.grad(loss.value, weight, retain_graph=True)
    both = method.both(pair())
    scores = method.discriminator(both.features)
    truth = torch.cat([torch.ones(60), torch.zeros(60)])
    discriminator = nn.functional.binary_cross_entropy_with_logits(scores, truth)
    (label,) = torch.autograd.grad(both.label_loss, weight, retain_graph=True)
    (against,) = torch.autograd.grad(discriminator, weight)
    torch.testing.assert_close(got, label - 0.5 * against, rtol=1e-4, atol=1e-6)


def test_cdan_conditions_on_the_outer_product(source_net: Any) -> None:
    method = Cdan(given(fresh(source_net)), hidden=8)
    features, likely = torch.randn(5, 16), torch.randn(5, 3).softmax(1)
    expected = torch.stack([torch.outer(f, p).flatten() for f, p in zip(features, likely)])
    torch.testing.assert_close(method.conditioned(features, likely), expected)
    # random products keep inner products on average: <Rf * Rp, Rf' * Rp'> / d ~ <f, f'> <p, p'>
    method = Cdan(given(fresh(source_net)), hidden=8, random=50_000)
    inner = method.conditioned(features, likely) @ method.conditioned(features, likely).T
    expected = (features @ features.T) * (likely @ likely.T)
    torch.testing.assert_close(inner, expected, rtol=0.1, atol=0.3)


def test_mdd_by_hand(source_net: Any) -> None:
    method = Mdd(given(fresh(source_net)), margin=3.0, ramp=0.0, hidden=8)
    (loss,) = losses(method)
    both = method.both(pair())
    near, far = (method.rival(features).softmax(1) for features in (both.source, both.target))
    picked = [p.gather(1, s.argmax(1)[:, None]) for p, s in ((near, both.source_scores), (far, both.target_scores))]
    expected = both.label_loss - 3.0 * picked[0].log().mean() - (1 - picked[1]).log().mean()
    torch.testing.assert_close(loss.value, expected, rtol=1e-4, atol=1e-5)


def test_bsp_adds_the_largest_singular_values(source_net: Any) -> None:
    plain, bound = (Bsp(given(fresh(source_net)), ramp=0.0, hidden=8, penalty=p) for p in (0.0, 0.01))
    bound.discriminator.load_state_dict(plain.discriminator.state_dict())
    both = plain.both(pair())
    top = sum(torch.linalg.svdvals(x)[0] ** 2 for x in (both.source, both.target))
    torch.testing.assert_close(losses(bound)[0].value - losses(plain)[0].value, 0.01 * top, rtol=1e-3, atol=1e-4)


def test_afn_makes_features_longer(source_net: Any) -> None:
    def norm(made: Any) -> float:
        with torch.no_grad():
            return float(made.eval().features({"vectors": TARGET[0]}).norm(dim=1).mean())

    left, right = (trained(Afn, fresh(source_net), 0.002, 60, weight=w, entropy=0.0) for w in (0.0, 0.05))
    assert norm(right) > 1.2 * norm(left)
    (loss,) = losses(Afn(given(fresh(source_net)), weight=1.0, longer=0.5, entropy=0.0))
    torch.testing.assert_close(loss.value, loss.logs["label"] + 2 * 0.5**2)  # the step asked for is all there is


def test_mcd_heads_pull_apart_and_the_backbone_together(source_net: Any) -> None:
    method = Mcd(given(fresh(source_net)), generator_steps=2)
    found = losses(method)
    assert [loss.param_groups for loss in found] == [("backbone", "heads"), "heads", "backbone", "backbone"]
    assert found[2].value.item() == pytest.approx(found[1].logs["apart"].item())
    mean = method.result()["net"]({"vectors": TARGET[0]})
    features = method.net.features({"vectors": TARGET[0]})
    torch.testing.assert_close(mean, (method.first(features) + method.second(features)) / 2)


def test_adda_moves_the_backbone_only(source_net: Any) -> None:
    made = trained(Adda, fresh(source_net), hidden=8, steps=5)
    assert torch.equal(made.heads["classify"].weight, source_net.heads["classify"].weight)
    assert not torch.equal(made.backbone.layers[0][0].weight, source_net.backbone.layers[0][0].weight)


def test_shot_keeps_the_head_and_needs_no_source(source_net: Any) -> None:
    made = trained(Shot, fresh(source_net), steps=5)
    assert torch.equal(made.heads["classify"].weight, source_net.heads["classify"].weight)
    assert set(Shot.streams) == {"target"}


def test_pseudo_labels_mend_a_mistake_by_its_neighbours() -> None:
    """One row of a tight cloud is taken for the other class; the nearest centroid says otherwise."""
    features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [1.0, 0.1], [0.0, 1.0], [0.1, 0.9], [0.1, 1.0]])
    scores = torch.tensor([[2.0, 0.0], [0.0, 0.5], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    assert scores.argmax(1).tolist() == [0, 1, 0, 1, 1, 1]
    assert pseudo_labels(features, scores).tolist() == [0, 0, 0, 1, 1, 1]
    absent = torch.cat([scores, torch.full((6, 1), -50.0)], 1)
    assert pseudo_labels(features, absent).tolist() == [0, 0, 0, 1, 1, 1]
