"""Self-ensembling, self-training, test-time, partial and open-set adaptation: each against the formula of its paper,
computed another way on small data; and runs of classes that differ."""

import math
from dataclasses import replace

import pytest
import torch
from adapting import HALF, START, Whole, batch, both, double, given, noise, one, run, trained
from torch import nn

from transfer_cli.contracts import Batch, Progress
from transfer_cli.errors import ConfigError
from transfer_cli.losses.consistency import confident, consistency, imbalance
from transfer_cli.losses.open_set import boundary
from transfer_cli.methods.adabn import Adabn
from transfer_cli.methods.cdan import Cdan
from transfer_cli.methods.mean_teacher import MeanTeacher
from transfer_cli.methods.osbp import Osbp
from transfer_cli.methods.pada import Pada, class_weights
from transfer_cli.methods.pseudo_label import PseudoLabel
from transfer_cli.methods.tent import Tent
from transfer_cli.metrics.classification import open_set


# losses
def test_consistency_counts_only_what_the_teacher_is_sure_of():
    """Chances of the teacher: .8 (counts) and .6 (does not, at .7). (.5 - .8)**2 = .09 twice, over two rows."""
    teacher = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log()
    gap, share = consistency(torch.zeros(2, 2), teacher, 0.7)
    assert gap.item() == pytest.approx(0.09 / 2)
    assert share.item() == 0.5


def test_no_gradient_reaches_the_teacher_or_the_guesses():
    student, teacher = noise(4, 3).requires_grad_(), noise(4, 3, seed=1).requires_grad_()
    (consistency(student, teacher, 0.0)[0] + confident(student, teacher, 0.0)[0]).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_imbalance_is_least_where_all_classes_are_predicted_alike():
    even, odd = torch.eye(3) * 20, torch.tensor([[20.0, 0, 0]] * 3)
    assert imbalance(even).item() == pytest.approx(-(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3, abs=1e-6)
    assert imbalance(odd) > imbalance(even)


def test_confident_is_the_cross_entropy_of_the_rows_that_count():
    scores, guesses = noise(20, 4), 2 * noise(20, 4, seed=1)
    chance, label = guesses.softmax(1).max(1)
    loss, share = confident(scores, guesses, 0.6)
    kept = chance > 0.6
    assert 0 < kept.sum() < 20
    expected = nn.functional.cross_entropy(scores[kept], label[kept], reduction="sum") / 20
    torch.testing.assert_close((loss, share), (expected, kept.float().mean()))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_the_boundary_is_where_the_unknown_has_just_the_threshold(threshold):
    scores = double(9, 4)
    p = scores.softmax(1)[:, -1]
    expected = -(threshold * p.log() + (1 - threshold) * (1 - p).log()).mean()
    assert boundary(scores, threshold).item() == pytest.approx(expected.item(), rel=1e-5)
    level = torch.tensor([[0.0, 0.0, 0.0, math.log(3 * threshold / (1 - threshold))]]).requires_grad_()
    boundary(level, threshold).backward()
    torch.testing.assert_close(level.grad, torch.zeros(1, 4), rtol=0, atol=1e-6)


def test_open_set_metrics_by_hand():
    """Recalls 1, 1/2 of two known classes (a third has no rows), 1/4 of the unknown: 2 * .75 * .25 / (.75 + .25)."""
    labels = torch.tensor([0, 1, 1, 3, 3, 3, 3])
    answers = torch.tensor([0, 1, 3, 3, 0, 1, 2])
    found = open_set(nn.functional.one_hot(answers, 4).float(), labels)
    assert found == {"os_star": 0.75, "unknown": 0.25, "hos": 0.375}
    assert open_set(torch.eye(4)[:3], torch.arange(3)) == {}


# adaptation
def test_mean_teacher_adds_consistency_of_the_strong_view_with_the_weak():
    method, rows = MeanTeacher(given(), weight=2.0, threshold=0.0, balance=0.0).eval(), both(views=2)
    weak, strong = (view["pixels"] for view in rows["target"].views)
    with torch.no_grad():
        method.net.heads["classify"].weight.mul_(3.0)
    student, teacher = (
        made({"pixels": x}).softmax(1) for made, x in ((method.net, strong), (method.teacher.module, weak))
    )
    label_loss = nn.functional.cross_entropy(method.net(rows["source"].inputs), rows["source"].labels)
    expected = label_loss + 2.0 * (student - teacher).square().mean()
    torch.testing.assert_close(one(method, rows).value, expected, rtol=1e-4, atol=1e-5)


def test_the_teacher_is_the_average_and_is_handed_on():
    method = MeanTeacher(given(), decay=0.9)
    first = method.net.heads["classify"].weight.detach().clone()
    with torch.no_grad():
        method.net.heads["classify"].weight.add_(1.0)
    method.after({}, START, {})
    handed = method.result()["net"]
    torch.testing.assert_close(handed.heads["classify"].weight, first + 0.1)
    assert not any(p.requires_grad for p in handed.parameters())


def test_mean_teacher_brings_the_views_together():
    gaps = {}
    for weight in (0.0, 3.0):
        method = MeanTeacher(given(), weight=weight, threshold=0.0, decay=0.9)
        gaps[weight] = trained(method, both(views=2)).logs["consistency"].item()
    assert gaps[3.0] < 0.5 * gaps[0.0]


def test_pseudo_labels_are_the_weak_views_answers_and_rise():
    method, rows = PseudoLabel(given(), weight=2.0, threshold=0.0, ramp=1.0).eval(), both(views=2)
    weak, strong = (method.net(view) for view in rows["target"].views)
    label_loss = nn.functional.cross_entropy(method.net(rows["source"].inputs), rows["source"].labels)
    guessed = nn.functional.cross_entropy(strong, weak.argmax(1))
    torch.testing.assert_close(one(method, rows, HALF).value, label_loss + guessed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one(method, rows, START).value, label_loss, rtol=1e-4, atol=1e-5)


def test_a_target_nobody_is_sure_of_teaches_nothing():
    method, rows = PseudoLabel(given(), threshold=1.0).eval(), both(views=2)
    loss = one(method, rows)
    assert loss.logs["pseudo"].item() == loss.logs["confident"].item() == 0.0
    torch.testing.assert_close(loss.value, loss.logs["label"])


def test_tent_turns_scales_and_shifts_alone_and_entropy_falls():
    method, rows = Tent(given()), {"target": replace(batch(shift=1.0), labels=None)}
    before = {name: p.clone() for name, p in method.net.named_parameters()}
    scores = method.net.train()(rows["target"].inputs)
    entropy = -(scores.softmax(1) * scores.log_softmax(1)).sum(1).mean()
    first = one(method, rows).value
    torch.testing.assert_close(first, entropy)  # by the batch's own statistics
    last = trained(method, rows, rate=0.1).value
    assert last < 0.5 * first
    norms = {id(p) for norm in method.norms for p in norm.parameters()}
    moved = {name for name, p in method.net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in method.net.named_parameters() if id(p) in norms}


def test_tent_hands_on_the_statistics_of_all_target_rows():
    loaders = {"target": Whole(batch(shift=2.0))}
    ours, theirs = Tent(given()), Adabn(given())
    for method in (ours, theirs):
        method.finish(loaders)
    for mine, other in zip(ours.norms, theirs.norms, strict=True):
        torch.testing.assert_close((mine.running_mean, mine.running_var), (other.running_mean, other.running_var))


def test_tent_wants_batch_norm_and_a_head():
    with pytest.raises(ConfigError, match="align=tent: the net has no BatchNorm layer"):
        Tent(given("mlp"))
    bare = given()
    del bare.net.heads["classify"]
    with pytest.raises(ConfigError, match="align=tent: the net has no head"):
        Tent(bare)


def test_pada_shares_are_mean_predictions_over_their_largest():
    chances = torch.tensor([[0.5, 0.4, 0.1], [0.7, 0.2, 0.1]])
    torch.testing.assert_close(class_weights(chances.log()), torch.tensor([0.6, 0.3, 0.1]) / 0.6)
    method, loaders = Pada(given(), renewals=2), {"target": Whole(batch(shift=1.0))}
    assert method.shares.tolist() == [1.0] * 3
    method.refresh(loaders, Progress(3, 10))
    assert method.shares.tolist() == [1.0] * 3
    method.refresh(loaders, Progress(5, 10))
    with torch.no_grad():
        mean = method.net.eval()(loaders["target"].rows.inputs).softmax(1).mean(0)
    torch.testing.assert_close(method.shares, mean / mean.max(), rtol=1e-4, atol=1e-5)
    assert "shares" in method.state_dict()


def test_a_class_without_share_counts_for_neither_labels_nor_critic():
    """Both losses equal those of the same batch without the rows of that class."""
    method = Pada(given(), ramp=0.0).eval()
    method.shares.copy_(torch.tensor([1.0, 0.5, 0.0]))
    rows = both()
    source, kept = rows["source"], rows["source"].labels != 2
    fewer = Batch({"pixels": source.inputs["pixels"][kept]}, source.labels[kept], source.index[kept])
    loss, other = one(method, rows), one(method, {**rows, "source": fewer})
    torch.testing.assert_close((loss.value, loss.logs), (other.value, other.logs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("entropy", [False, True])
def test_the_critic_of_cdan_teaches_features_alone(entropy):
    """It is told what the net predicts, and may not teach it to predict otherwise: no gradient reaches the head."""
    method = Cdan(given(), hidden=8, ramp=0.0, entropy=entropy)
    discriminator = one(method, both()).logs["discriminator"]
    head, first = method.net.heads["classify"].weight, next(method.net.backbone.parameters())
    found = torch.autograd.grad(discriminator, (head, first), allow_unused=True)
    assert found[0] is None
    assert found[1].abs().sum() > 0


def test_osbp_pulls_head_and_backbone_opposite_ways():
    """The gradient of the boundary loss: as it is for the head, turned round for the backbone."""
    method = Osbp(given(classes=("a", "b", "unknown")), ramp=0.0).eval()
    rows = both()
    rows["source"].labels.clamp_(max=1)
    first, head = next(method.net.backbone.parameters()), method.net.heads["classify"].weight
    label, edge = (
        nn.functional.cross_entropy(method.net(rows["source"].inputs), rows["source"].labels),
        boundary(method.net(rows["target"].inputs), 0.5),
    )
    plain = {x: torch.autograd.grad(label, x, retain_graph=True)[0] for x in (first, head)}
    adverse = {x: torch.autograd.grad(edge, x, retain_graph=True)[0] for x in (first, head)}
    mine = torch.autograd.grad(one(method, rows).value, (first, head))
    torch.testing.assert_close(mine[0], plain[first] - adverse[first], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(mine[1], plain[head] + adverse[head], rtol=1e-3, atol=1e-5)


def test_a_partial_target_is_scored_over_the_classes_of_the_net(tmp_path):
    found, specs = run(tmp_path, "strategy=pada", "source=digits", "data.classes=[7,2]", "model=lenet", "oracle=true")
    assert specs["evaluate"]["classes"] == [str(digit) for digit in range(10)]
    occurs = {name for name in found["metrics"]["final"] if name.startswith("test/recall/")}
    assert {"test/recall/2", "test/recall/7"} <= occurs
    assert "top5" not in found["metrics"]["final"] or found["metrics"]["final"]["test/top5"] <= 1
    assert "oracle" in found["metrics"]


def test_classes_the_source_lacks_count_as_unknown(tmp_path):
    found, specs = run(tmp_path, "strategy=osbp", "source=digits", "source.classes=[7,2]", "model=lenet")
    assert specs["evaluate"]["classes"] == specs["align"]["streams"]["source"]["classes"] == ["7", "2", "unknown"]
    metrics = found["metrics"]["final"]
    rows = {"7": 36, "2": 35, "unknown": 359 - 71}
    hits = sum(count * metrics[f"test/recall/{name}"] for name, count in rows.items())
    assert metrics["test/accuracy"] == pytest.approx(hits / 359, abs=1e-6)
    known = (metrics["test/recall/7"] + metrics["test/recall/2"]) / 2
    assert metrics["test/os_star"] == pytest.approx(known)
    assert metrics["test/unknown"] == metrics["test/recall/unknown"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["strategy=pada", "source.classes=[0,1,2]", "data.classes=[1,2,3]"],
            "error: align=pada needs a source with all classes: digits classes 0-2 3, digits classes 1-3 3, 2 shared",
        ),
        (
            ["strategy=osbp", "data.classes=[1,2,3]"],
            "error: align=osbp needs a target with all classes, none named unknown: "
            "digits 10, digits classes 1-3 3, 3 shared",
        ),
        (
            ["strategy=coral", "data.classes=[1,2,3]"],
            "error: align=coral needs the same classes: digits 10, digits classes 1-3 3, 3 shared",
        ),
    ],
)
def test_classes_that_do_not_go_together(words, text, transfer):
    told = transfer("run", "source=digits", "data=digits", *words)
    assert told.code == 4
    assert told.errors == [text, "  do: strategy=fine_tune, or choose classes with data.classes"]
