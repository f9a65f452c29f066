"""The training loop with toy methods: one yield, two yields, state in buffers, and what must be noticed."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from transfer_cli.contracts import Batch, Draw, Ema, Loss, Method, Stream
from transfer_cli.engine import param_groups
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.training_step import Training
from transfer_cli.errors import ConfigError, Diverged

CPU = torch.device("cpu")
TRAINER = Trainer(steps=12, batch=8, lr=0.1, warmup=0.0, schedule="constant")


class Points:
    """Two blobs in five dimensions, as items."""

    noun = "rows"
    domains = None
    targeted = False
    chunk = 16
    home = CPU

    def __init__(self, rows=40, dtype=torch.float32):
        rng = np.random.default_rng(0)
        self.labels = torch.arange(rows) % 2
        self.x = torch.from_numpy(rng.normal(size=(rows, 5))).to(dtype) + self.labels[:, None]

    def __len__(self):
        return len(self.labels)

    def gather(self, index, policy, rng):
        noise = 0 if policy == "none" else torch.from_numpy(rng().normal(size=(len(index), 5))).to(self.x)
        return {"x": self.x[index] + 0.1 * noise}, self.labels[index]

    def arranged(self, order, batch, rng):
        return order

    def in_order(self):
        return torch.arange(len(self))


def loader(rows=40, stream="target", policy="weak", dtype=torch.float32, batch=8, **more):
    return StepLoader(Points(rows, dtype), Address(3, "align", stream), batch=batch, views=(policy,), **more)


def net(dtype=torch.float32, dropout=0.0):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(dropout), nn.Linear(6, 2)).to(dtype)


def cross_entropy(out, batch):
    return nn.functional.cross_entropy(out, batch.labels)


class OneYield(Method):
    streams = {"target": Stream()}

    def __init__(self, dropout=0.0, dtype=torch.float32):
        super().__init__()
        self.net = net(dtype, dropout)

    def param_groups(self):
        return {"net": [self.net]}

    def step(self, batch, at):
        rows = batch["target"]
        yield Loss("net", cross_entropy(self.net(rows.inputs["x"]), rows), weight=len(rows))


class TwoYields(OneYield):
    """A discriminator learns to tell the classes from features, the net to keep it from doing so."""

    def __init__(self):
        super().__init__()
        self.discriminator = nn.Linear(2, 1)

    def param_groups(self):
        return {"discriminator": [self.discriminator], "net": [(self.net, 0.5)]}

    def step(self, batch, at):
        rows = batch["target"]
        yield Loss(
            "discriminator", nn.functional.softplus(self._told(self.net(rows.inputs["x"]).detach(), rows)).mean()
        )
        yield Loss("net", nn.functional.softplus(-self._told(self.net(rows.inputs["x"]), rows)).mean())

    def _told(self, out, rows):
        return self.discriminator(out)[:, 0] * (2 * rows.labels - 1)


class Logging(OneYield):
    """Logs beside the loss, and leaves it to the engine what a row counts."""

    def step(self, batch, at):
        rows = batch["target"]
        out = self.net(rows.inputs["x"])
        yield Loss("net", cross_entropy(out, rows), {"width": out.abs().mean()})


class BatchNormed(OneYield):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


class Buffered(OneYield):
    """Pseudo-labels for all rows in a buffer, renewed every four steps; a moving average after each step."""

    def __init__(self):
        super().__init__(dropout=0.3)
        self.average = Ema(self.net, 0.9)
        self.register_buffer("labels", torch.zeros(40, dtype=torch.long))

    def refresh(self, loaders, at):
        if at.step % 4 == 0:
            with torch.no_grad():
                self.labels.copy_(torch.cat([self.net(b.inputs["x"]).argmax(1) for b in loaders["target"].whole()]))

    def step(self, batch, at):
        rows = batch["target"]
        target = Batch(rows.inputs, self.labels[rows.index], rows.index)
        yield Loss(
            "net", cross_entropy(self.net(rows.inputs["x"]), target) + cross_entropy(self.net(rows.inputs["x"]), rows)
        )

    def after(self, batch, at, logs):
        self.average.update(self.net)


class Choosing(OneYield):
    """Learns from rows without labels only when a moving average of its loss is low, and then from those of the class
    that is due; strong views come in the second half."""

    streams = {"target": Stream(), "unlabelled": Stream(labelled=False)}

    def __init__(self):
        super().__init__()
        self.register_buffer("level", torch.ones(()))
        self.register_buffer("due", torch.zeros(40, dtype=torch.bool))

    def refresh(self, loaders, at):
        if at.step % 3 == 0:
            self.due.copy_(torch.arange(40) % 2 == (at.step // 3) % 2)

    def draw(self, at):
        rows = self.due.nonzero().flatten() if self.level < 0.9 else torch.tensor([], dtype=torch.long)
        views = {"target": Draw(views=("strong",))} if at.fraction >= 0.5 else {}
        return {"unlabelled": Draw(rows)} | views

    def step(self, batch, at):
        rows = batch["target"]
        value = cross_entropy(self.net(rows.inputs["x"]), rows)
        if "unlabelled" in batch:
            value = value + 0.1 * self.net(batch["unlabelled"].inputs["x"]).softmax(1).square().mean()
        yield Loss("net", value)

    def after(self, batch, at, logs):
        self.level.mul_(0.5).add_(0.5 * logs["loss"])


class Forgetful(Buffered):
    """The negative control: the same labels in a plain attribute, which no state dict holds."""

    def __init__(self):
        super().__init__()
        self.remembered = torch.zeros(40, dtype=torch.long)

    def refresh(self, loaders, at):
        super().refresh(loaders, at)
        if at.step % 4 == 0:
            self.remembered = self.labels.clone()

    def step(self, batch, at):
        rows = batch["target"]
        target = Batch(rows.inputs, self.remembered[rows.index], rows.index)
        yield Loss("net", cross_entropy(self.net(rows.inputs["x"]), target))


def training(method, trainer=TRAINER, **loader_options):
    loaders = {name: loader(stream=name, **loader_options) for name in method.streams}
    return Training(method, loaders, trainer, seed32=77, precision="fp32", device=CPU)


def run(made, first=0, last=TRAINER.steps):
    for t in range(first, last):
        made.step(t)
    return made


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", [OneYield, TwoYields, Buffered, Choosing])
@pytest.mark.parametrize("stop", [1, 5, 6])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_killed_at_any_step_and_resumed_is_bit_equal(kind, stop, optimizer):
    trainer = Trainer(**{**TRAINER.__dict__, "optimizer": optimizer, "lr": 0.01})
    whole = run(training(kind(), trainer)).state()
    saved = {name: value.clone() for name, value in run(training(kind(), trainer), last=stop).state().items()}
    torch.manual_seed(123456)  # whatever happened in between must not matter
    resumed = training(kind(), trainer)
    resumed.load_state(saved)
    assert same(run(resumed, first=stop).state(), whole)


def watched(made):
    """What the method gets in each step: rows of each stream."""
    seen, step = [], made.method.step

    def look(batch, at):
        seen.append({name: rows.index.tolist() for name, rows in batch.items()})
        yield from step(batch, at)

    made.method.step = look
    return seen


def test_a_method_chooses_rows_and_leaves_streams_out():
    made = training(Choosing())
    seen = watched(made)
    run(made)
    assert {frozenset(rows) for rows in seen} == {frozenset({"target"}), frozenset({"target", "unlabelled"})}
    for t, rows in enumerate(seen):
        assert rows["target"] == made.loaders["target"][t].index.tolist()  # nothing is chosen for it but views
        chosen = rows.get("unlabelled", [])
        assert all(row % 2 == (t // 3) % 2 for row in chosen)
        assert len(set(chosen)) == len(chosen) == (8 if chosen else 0)


def test_a_method_chooses_views():
    made = training(Choosing())
    t, views = 7, made.loaders["target"]
    assert torch.equal(views.at(t, Draw(views=("none",))).inputs["x"], views.items.x[views[t].index])
    assert not torch.equal(views.at(t, Draw(views=("strong",))).inputs["x"], views.items.x[views[t].index])
    assert len(views.at(t, Draw(views=("none", "strong"))).views) == 2


def test_few_chosen_rows_fill_a_batch_evenly():
    rows = loader(batch=8).at(3, Draw(torch.tensor([4, 9, 30]))).index.tolist()
    assert sorted(rows.count(row) for row in (4, 9, 30)) == [2, 3, 3]
    assert loader(batch=8).at(4, Draw(torch.tensor([4, 9, 30]))).index.tolist() != rows


def test_a_choice_for_a_stream_that_is_not_there_is_told():
    class Lost(OneYield):
        def draw(self, at):
            return {"source": Draw(torch.arange(3))}

    with pytest.raises(TypeError, match="chooses for source, which is no stream of this stage"):
        training(Lost()).step(0)


def test_processes_share_out_chosen_rows():
    draw = Draw(torch.arange(10, 30))
    whole, *parts = (loader(share=share).at(2, draw).index for share in ((0, 1), (0, 2), (1, 2)))
    assert [part.tolist() for part in parts] == [whole[0::2].tolist(), whole[1::2].tolist()]


def test_the_resume_test_notices_forgotten_state():
    whole = run(training(Forgetful())).state()
    resumed = training(Forgetful())
    resumed.load_state({name: value.clone() for name, value in run(training(Forgetful()), last=6).state().items()})
    assert not same(run(resumed, first=6).state(), whole)


@pytest.mark.parametrize("lost", ["optimizer.", "method.average."])
def test_the_resume_test_notices_lost_tensors(lost):
    whole = run(training(Buffered())).state()
    saved = run(training(Buffered()), last=6).state()
    fresh = training(Buffered())
    saved = {n: v.clone() for n, v in saved.items() if not n.startswith(lost)} | {
        n: v for n, v in fresh.state().items() if n.startswith(lost)
    }
    fresh.load_state(saved)
    assert not same(run(fresh, first=6).state(), whole)


def test_draws_inside_a_step_follow_the_step_not_the_past():
    """Dropout at step t is the same whatever was drawn before: without the reseed this fails."""
    first, second = training(OneYield(dropout=0.5)), training(OneYield(dropout=0.5))
    torch.rand(1000)
    first.step(4)
    torch.rand(7)
    second.step(4)
    assert same(first.state(), second.state())
    third = training(OneYield(dropout=0.5))
    third.seed32 = 78
    third.step(4)
    assert not same(first.state(), third.state())


def test_one_yield_is_the_plain_loop():
    """The engine against a loop written by hand, float64, momentum and weight decay."""
    made = run(training(OneYield(dtype=torch.float64), dtype=torch.float64))
    model, batches = net(torch.float64), loader(dtype=torch.float64)
    plain = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=0.0005, nesterov=True)
    for t in range(TRAINER.steps):
        plain.zero_grad()
        cross_entropy(model(batches[t].inputs["x"]), batches[t]).backward()
        plain.step()
    for mine, theirs in zip(made.method.net.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


def test_each_yield_moves_its_own_player_only():
    made = training(TwoYields())
    moved = []
    original = made.updates.apply

    def watch(loss, t):
        before = {n: p.detach().clone() for n, p in made.method.named_parameters()}
        original(loss, t)
        moved.append({n.split(".")[0] for n, p in made.method.named_parameters() if not torch.equal(p, before[n])})

    made.updates.apply = watch
    made.step(0)
    assert moved == [{"discriminator"}, {"net"}]
    assert [g["lr"] for p in made.groups.values() for g in p.optimizer.param_groups] == [0.1, 0.05]


def test_a_parameter_without_a_player_is_named():
    class Careless(TwoYields):
        def param_groups(self):
            return {"net": [self.net]}

    with pytest.raises(TypeError, match=r"discriminator\.weight requires a gradient, but belongs to no group"):
        training(Careless())


def test_a_parameter_with_two_players_is_named():
    class Greedy(TwoYields):
        def param_groups(self):
            return {"discriminator": [self.discriminator], "net": [self.net, self.discriminator]}

    with pytest.raises(TypeError, match=r"discriminator\.weight belongs to discriminator and to net"):
        training(Greedy())


def test_a_graph_across_a_yield_is_told():
    class Crossing(TwoYields):
        def step(self, batch, at):
            rows = batch["target"]
            told = self._told(self.net(rows.inputs["x"]), rows)
            yield Loss("discriminator", told.mean())
            yield Loss("net", told.square().mean())

    with pytest.raises(
        (TypeError, RuntimeError), match=r"tensors computed before the previous yield|backward through the graph"
    ):
        training(Crossing()).step(0)


def test_a_frozen_batch_norm_stays_frozen_also_after_unfreezing_begins():
    class Normed(OneYield):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5)), nn.Linear(5, 2))
            self.net[0].requires_grad_(False)

        def refresh(self, loaders, at):
            self.net[0].requires_grad_(at.step >= 3)

    made = run(training(Normed()), last=3)
    assert torch.equal(made.method.net[0][1].running_mean, torch.zeros(5))
    assert not made.method.net[0][1].training
    made.step(3)
    assert made.method.net[0][1].training
    assert made.method.net[0][1].running_mean.abs().sum() > 0


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_micro_batches_equal_one_batch(parts):
    """Mean losses over rows, no dropout, no BatchNorm, float64: equal to rounding."""
    trainer = Trainer(**{**TRAINER.__dict__, "accumulate": parts})
    split = run(training(OneYield(dtype=torch.float64), trainer, dtype=torch.float64))
    whole = run(training(OneYield(dtype=torch.float64), dtype=torch.float64))
    for name, value in whole.state().items():
        torch.testing.assert_close(split.state()[name], value, rtol=1e-12, atol=1e-15)


def test_micro_batches_are_refused_where_they_change_the_loss():
    trainer = Trainer(**{**TRAINER.__dict__, "accumulate": 2})
    with pytest.raises(ConfigError, match="more than one loss"):
        training(TwoYields(), trainer).step(0)

    class Coupled(OneYield):
        coupled = True

    with pytest.raises(ConfigError, match="couples the rows"):
        training(Coupled(), trainer)


def test_a_non_finite_loss_stops_before_the_weights_change(monkeypatch):
    monkeypatch.setenv("TRANSFER_TEST_NAN_AT", "7")
    made = run(training(OneYield()), last=7)
    before = {n: v.clone() for n, v in made.state().items()}
    with pytest.raises(Diverged, match=r"non-finite loss at step 7 \(last finite 0\.\d+ at 6\)"):
        made.step(7)
    assert same(made.state(), before)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_on_a_gpu_a_non_finite_update_is_skipped_there_and_told_at_the_next_look(monkeypatch, optimizer, clip):
    """The fused kernels of the CPU read `found_inf` as those of a GPU do, so the branch runs here."""
    monkeypatch.setenv("TRANSFER_TEST_NAN_AT", "7")
    made = training(OneYield(), Trainer(**{**TRAINER.__dict__, "optimizer": optimizer, "clip": clip}))
    made.updates.runs_ahead = True
    run(made, last=7)
    made.check(7)
    before = {n: v.clone() for n, v in made.state().items()}
    made.step(7)
    assert same(made.state(), before)
    with pytest.raises(Diverged, match=r"non-finite loss at step 7"):
        made.check(8)


def test_players_of_equal_scale_share_a_group_and_things_without_parameters_are_left_out():
    class Layered(OneYield):
        def param_groups(self):
            linear, relu, dropout, head = self.net
            return {"net": [(linear, 0.5), (relu, 0.1), dropout, head.weight, (head.bias, 0.25)]}

    made = training(Layered())
    made.step(0)
    groups = made.groups["net"].optimizer.param_groups
    assert [(len(group["params"]), group["lr"]) for group in groups] == [(2, 0.05), (1, 0.1), (1, 0.025)]


def test_clipping_bounds_the_gradient_and_leaves_small_ones_alone():
    seen = {}
    for clip in (None, 1e-3, 1e6):
        trainer = Trainer(**{**TRAINER.__dict__, "clip": clip, "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0})
        made = training(OneYield(), trainer)
        before = nn.utils.parameters_to_vector(made.method.parameters()).detach()
        made.step(0)
        after = nn.utils.parameters_to_vector(made.method.parameters()).detach()
        seen[clip] = math.dist(before, after)
    assert seen[1e6] == seen[None]
    assert seen[1e-3] == pytest.approx(1e-3, rel=1e-2)


def test_rates_by_hand():
    """10 steps, 2 of warm-up at lr 1: 1/2, 1, then cosine over 8: 1, ..., half-way at step 6 is 1/2."""
    cosine = Trainer(steps=10, lr=1.0, warmup=0.2, schedule="cosine")
    assert [param_groups.rate(cosine, t) for t in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    linear = Trainer(steps=10, lr=1.0, warmup=0.0, schedule="linear")
    assert [param_groups.rate(linear, t) for t in (0, 5, 9)] == pytest.approx([1.0, 0.5, 0.1])
    assert param_groups.rate(Trainer(steps=10, lr=1.0, warmup=0.0, schedule="constant"), 9) == 1.0


def test_a_feed_shows_each_row_once_an_epoch_in_a_new_order():
    f = loader(rows=20, batch=8)
    seen = torch.cat([f[t].index for t in range(5)])  # 40 rows = two epochs; batch 2 spans both
    assert sorted(seen[:20].tolist()) == list(range(20))
    assert sorted(seen[20:].tolist()) == list(range(20))
    assert seen[:20].tolist() != seen[20:].tolist()


def test_a_feed_depends_on_its_address_and_t_only():
    a, b = loader(), loader()
    for t in (5, 0, 3):
        b[t]
    assert torch.equal(a[4].inputs["x"], b[4].inputs["x"])
    assert not torch.equal(a[4].index, loader(stream="source")[4].index)
    assert not torch.equal(a[4].inputs["x"], loader(policy="none")[4].inputs["x"])


def test_a_batch_larger_than_the_data_is_all_of_it():
    f = loader(rows=5, batch=8)
    assert len(f[0]) == 5
    assert f.steps_per_epoch == 1
