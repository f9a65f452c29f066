"""Self-ensembling, self-training, test-time, partial and open-set adaptation, self-supervised pretraining: each against
its paper's formula, computed another way on small data; and runs whose stages mix them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from transfer_cli.cli.main import main
from transfer_cli.contracts import Batch, Given, Progress
from transfer_cli.data.tasks import Classification
from transfer_cli.engine.players import players, set_modes
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError
from transfer_cli.losses.consistency import confident, consistency, imbalance
from transfer_cli.losses.contrast import nt_xent
from transfer_cli.losses.masked import hidden_patches, masked_error
from transfer_cli.losses.open_set import boundary
from transfer_cli.methods.adabn import Adabn
from transfer_cli.methods.mae import Decoder, Mae
from transfer_cli.methods.mean_teacher import MeanTeacher
from transfer_cli.methods.osbp import Osbp
from transfer_cli.methods.pada import Pada, shares_of
from transfer_cli.methods.pseudo_label import PseudoLabel
from transfer_cli.methods.rotation import Rotation, turned
from transfer_cli.methods.simclr import Simclr
from transfer_cli.methods.tent import Tent
from transfer_cli.metrics.classification import open_set
from transfer_cli.models.net import build

CLASSES = ("a", "b", "c")
INPUT = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
START, HALF = Progress(0, 10), Progress(5, 10)
EVERY = torch.arange(30)


def net(family="conv4", classes=CLASSES):
    torch.manual_seed(0)
    small = {"filters": 8} if family == "conv4" else {}
    made = build({"family": family, **small, "input": INPUT, "precision": "fp32", "channels_last": False})
    made.set_head("classify", classes)
    return made


def given(family="conv4", classes=CLASSES):
    task = Classification(classes)
    return Given(net(family, classes), {"target": task, "source": task}, rows={"target": 30, "source": 30})


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def double(*shape, seed=0):
    return noise(*shape, seed=seed).double()


def batch(seed=0, shift=0.0, views=1):
    """30 pictures of three classes, which differ in brightness; each view has noise of its own."""
    labels = EVERY % 3
    clean = noise(30, 1, 16, 16, seed=seed) + labels.view(-1, 1, 1, 1) * 0.7 + shift
    seen = tuple({"pixels": clean + 0.3 * i * noise(30, 1, 16, 16, seed=seed + 7 + i)} for i in range(views))
    return Batch(seen[0], labels, EVERY, seen)


def both(views=1, shift=1.0):
    return {"source": batch(), "target": replace(batch(1, shift, views), labels=None)}


def one(method, rows, at=HALF):
    (loss,) = method.step(rows, at)
    return loss


def trained(method, rows, steps=30, rate=0.05):
    """As the engine does it: modes, one optimiser over all players, `after`."""
    cast = players(method, Trainer())
    set_modes(method, cast)
    optimizer = torch.optim.SGD([p for player in cast.values() for p in player.parameters], rate, 0.9)
    for t in range(steps):
        loss = one(method, rows, Progress(t, steps))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        method.after(rows, Progress(t, steps), {})
    return loss


class Whole:
    """A feed that is one batch, handed out in two halves."""

    def __init__(self, rows):
        self.rows = rows

    def whole(self, batch=None):
        for part in (slice(0, 15), slice(15, None)):
            yield Batch({"pixels": self.rows.inputs["pixels"][part]}, None, self.rows.index[part])


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


@pytest.mark.parametrize(("rows", "temperature"), [(2, 0.5), (7, 0.1)])
def test_nt_xent_equals_the_double_loop(rows, temperature):
    first, second = double(rows, 5), double(rows, 5, seed=1)
    views = np.concatenate([first.numpy(), second.numpy()])
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    total = 0.0
    for i in range(2 * rows):
        near = {j: math.exp(views[i] @ views[j] / temperature) for j in range(2 * rows) if j != i}
        total -= math.log(near[(i + rows) % (2 * rows)] / sum(near.values()))
    assert nt_xent(first, second, temperature).item() == pytest.approx(total / (2 * rows), rel=1e-12)


def test_nt_xent_knows_no_sides_no_order_and_no_lengths():
    first, second = double(6, 4), double(6, 4, seed=1)
    expected = nt_xent(first, second, 0.3)
    torch.testing.assert_close(nt_xent(second, first, 0.3), expected)
    torch.testing.assert_close(nt_xent(first.flip(0), 7 * second.flip(0), 0.3), expected)
    assert nt_xent(first, first, 0.3) < expected


@pytest.mark.parametrize(("first", "second"), [((1, 3), (1, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_nt_xent_refuses_shapes(first, second):
    with pytest.raises(ValueError, match=r"nt_xent: .* wants \[rows >= 2, features\] twice"):
        nt_xent(torch.zeros(first), torch.zeros(second), 0.5)


@pytest.mark.parametrize(("side", "patch", "share", "count"), [(16, 4, 0.75, 12), (9, 4, 0.5, 4), (8, 8, 0.1, 1)])
def test_so_many_patches_are_hidden_in_each_picture(side, patch, share, count):
    torch.manual_seed(0)
    hidden = hidden_patches(torch.zeros(50, 2, side, side), patch, share)
    assert hidden.shape == (50, 1, side, side)
    corners = hidden[:, 0, ::patch, ::patch]
    assert (corners.flatten(1).sum(1) == count).all()
    assert torch.equal(corners.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :side, :side], hidden[:, 0])
    if count < corners[0].numel():
        assert len({tuple(row) for row in corners.flatten(1).tolist()}) > 1


def test_masked_error_sees_hidden_pixels_alone():
    truth, hidden = noise(3, 2, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    hidden[:, :, :2] = True
    made = torch.where(hidden, truth + 2, 100.0)
    assert masked_error(made, truth, hidden).item() == pytest.approx(4.0, rel=1e-5)


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
    feeds = {"target": Whole(batch(shift=2.0))}
    ours, theirs = Tent(given()), Adabn(given())
    for method in (ours, theirs):
        method.finish(feeds)
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
    torch.testing.assert_close(shares_of(chances.log()), torch.tensor([0.6, 0.3, 0.1]) / 0.6)
    method, feeds = Pada(given(), renewals=2), {"target": Whole(batch(shift=1.0))}
    assert method.shares.tolist() == [1.0] * 3
    method.refresh(feeds, Progress(3, 10))
    assert method.shares.tolist() == [1.0] * 3
    method.refresh(feeds, Progress(5, 10))
    with torch.no_grad():
        mean = method.net.eval()(feeds["target"].rows.inputs).softmax(1).mean(0)
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


# self-supervised
def test_turned_pictures_know_by_how_much():
    pixels = noise(2, 1, 5, 5)
    copies, turns = turned(pixels)
    assert turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for copy, quarters in zip(copies, turns.tolist(), strict=True):
        back = np.rot90(copy[0].numpy(), -quarters)
        assert any(np.array_equal(back, picture[0].numpy()) for picture in pixels)


def test_rotation_learns_to_tell_turns():
    picture = torch.linspace(-1, 1, 16).view(1, 1, 1, 16).expand(30, 1, 16, 16) + 0.1 * noise(30, 1, 16, 16)
    rows = {"target": Batch({"pixels": picture}, None, EVERY)}
    assert trained(Rotation(given()), rows, 10).logs["right"] > 0.95


def test_simclr_contrasts_each_side_by_itself():
    method, rows = Simclr(given(), width=5, temperature=0.2).eval(), both(views=2)
    rows["source"] = batch(views=2)
    expected = {
        name: nt_xent(*(method.project(method.net.features(view)) for view in rows[name].views), 0.2) for name in rows
    }
    loss = one(method, rows)
    torch.testing.assert_close(dict(loss.logs), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.value, (expected["source"] + expected["target"]) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one(method, {"target": rows["target"]}).value, expected["target"], rtol=1e-4, atol=1e-5)


def test_mae_sees_no_hidden_pixel():
    """What is behind the patches changes what is to be guessed, not the guess."""
    method, rows = Mae(given(), share=0.5).eval(), both()
    seen = []
    method.net.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixels"]), with_kwargs=True
    )
    torch.manual_seed(3)
    one(method, rows)
    torch.manual_seed(3)
    pixels = torch.cat([rows["source"].inputs["pixels"], rows["target"].inputs["pixels"]])
    hidden = hidden_patches(pixels, 4, 0.5)
    torch.testing.assert_close(seen[0], torch.where(hidden, 0.0, pixels))


@pytest.mark.parametrize("side", [3, 16, 28])
def test_the_decoder_draws_pictures_of_the_right_size(side):
    assert Decoder(7, 3, side, 4)(noise(2, 7)).shape == (2, 3, side, side)


@pytest.mark.parametrize("kind", [Rotation, Simclr, Mae])
def test_pretext_learns_the_backbone_and_hands_it_on_alone(kind):
    method, rows = kind(given()), both(views=2)
    rows["source"] = batch(views=2)
    first, head = next(method.net.backbone.parameters()).detach().clone(), method.net.heads["classify"].weight.clone()
    trained(method, rows, 2)
    handed = method.result()["net"]
    assert not torch.equal(next(handed.backbone.parameters()), first)
    assert torch.equal(handed.heads["classify"].weight, head)
    assert set(handed.heads) == {"classify"}
    assert handed.state_dict().keys() == net().state_dict().keys()


@pytest.mark.parametrize(("kind", "name"), [(Rotation, "rotation"), (Mae, "mae")])
def test_pretext_of_pictures_refuses_other_rows(kind, name):
    made = build({"family": "mlp", "input": {"width": 4}, "precision": "fp32", "channels_last": False})
    with pytest.raises(ConfigError, match=rf"pretrain={name}: learns from pictures, and the net reads none"):
        kind(Given(made))


# runs
def run(folder, *words):
    """results.json and the specs of the stages of a run of three steps a stage."""
    told = ["run", *words, "data=digits", "trainer=tiny", "runtime=cpu", "--runs", str(folder), "-q"]
    assert main(told) == 0
    (made,) = [path for path in folder.glob("*/*") if not path.parent.name.startswith(".")]
    stages = json.loads((made / "plan.json").read_text())
    return json.loads((made / "results.json").read_text()), {stage["stage"]: stage["spec"] for stage in stages}


@pytest.mark.parametrize("pretext", ["rotation", "simclr", "mae"])
def test_self_supervised_then_aligned_then_few_labels(pretext, tmp_path):
    mixed = (f"pretrain={pretext}", "align=coral", "fine_tune=full", "source=digits", "data.shots=5", "model=lenet")
    found, specs = run(tmp_path, *mixed)
    assert 0 <= found["headline"]["value"] <= 1
    assert {stream: view["side"] for stream, view in specs["pretrain"]["streams"].items()} == {
        "source": "source", "target": "target",
    }  # fmt: skip
    assert not any(view["labelled"] for view in specs["pretrain"]["streams"].values())
    assert specs["align"]["net"]["key"] == found["stages"][0]["key"]
    assert found["cost"]["labels"] == 50


def test_without_a_source_the_target_is_enough(tmp_path):
    _, specs = run(tmp_path, "pretrain=simclr", "source=none", "data.shots=5", "model=mlp")
    assert list(specs["pretrain"]["streams"]) == ["target"]


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
