"""Distillation: its loss by hand, classes matched by name, and whole runs that are taught by another run or a file."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from victims import manifests, run

from transfer_cli.contracts import Batch, Frozen, MethodInputs, Progress
from transfer_cli.engine.param_groups import param_groups
from transfer_cli.engine.parents import parent
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.stage_context import Job
from transfer_cli.errors import ConfigError
from transfer_cli.losses.distillation import distillation
from transfer_cli.methods.distill import Distill
from transfer_cli.models.net import build
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

relaxed = settings(deadline=None, max_examples=40)
CLASSES = ("cat", "dog", "hen")
INPUT = {"channels": 1, "size": 8, "crop": 8, "mean": [0.5], "std": [0.5]}


def scores(seed: int, rows: int = 5, classes: int = 4) -> torch.Tensor:
    return 3 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_distillation_by_hand() -> None:
    """Chances of the teacher 3/4, 1/4 and of the student 1/2, 1/2 at T = 2: KL = 3/4 ln(3/2) + 1/4 ln(1/2), times 4."""
    teacher = 2 * torch.tensor([[0.75, 0.25]]).log()
    loss = distillation(torch.zeros(1, 2), teacher, 2.0)
    torch.testing.assert_close(loss, 4 * (0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log()))


@relaxed
@given(st.integers(0, 99), st.floats(0.5, 20))
def test_distillation_is_the_sum_over_classes(seed: int, temperature: float) -> None:
    student, teacher = scores(seed), scores(seed + 1)
    p, q = ((x.float() / temperature).softmax(1).double() for x in (teacher, student))
    expected = temperature**2 * (p * (p.log() - q.log())).sum() / len(p)
    found = distillation(student, teacher, temperature).double()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert distillation(teacher, teacher, temperature).abs() < 1e-5


@relaxed
@given(st.integers(0, 99))
def test_at_a_high_temperature_the_logits_are_matched(seed: int) -> None:
    """Hinton et al., eq. 4: the gradient tends to (z - v) / C, centred; T^2 has taken the temperature out of it."""
    student, teacher = scores(seed).requires_grad_(), scores(seed + 1)
    distillation(student, teacher, 1000.0).backward()
    gap = student.detach() - teacher
    expected = (gap - gap.mean(1, keepdim=True)) / gap.shape[1] / len(gap)
    torch.testing.assert_close(student.grad, expected, rtol=0.05, atol=2e-3)


def test_no_gradient_reaches_the_teacher_and_other_shapes_are_told() -> None:
    teacher = scores(1).requires_grad_()
    distillation(scores(0).requires_grad_(), teacher, 2.0).backward()
    assert teacher.grad is None
    with pytest.raises(ValueError, match=r"student \[5, 4\], teacher \[5, 3\]"):
        distillation(scores(0), scores(1, classes=3), 2.0)


# the method
def net(classes: Any = CLASSES, seed: int = 0, outputs: int = 0) -> Any:
    torch.manual_seed(seed)
    made = build({"family": "mlp", "input": INPUT, "precision": "fp32", "channels_last": False})
    if outputs:
        made.add_head("classify", "linear", outputs=outputs)
    else:
        made.set_head("classify", classes)
    return made


def method(teacher: Any, **settings: Any) -> Distill:
    inputs = MethodInputs(net(), {"target": Classify(TaskContext(CLASSES))}, parts={"teacher": Frozen(teacher)})
    return Distill(inputs, teacher="teacher", **settings)


def batch(rows: int = 6) -> Batch:
    pixels = torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return Batch({"pixels": pixels}, torch.arange(rows) % 3, torch.arange(rows))


def loss_of(made: Distill, rows: Batch) -> Any:
    (loss,) = made.step({"target": rows}, Progress(0, 1))
    return loss


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_labels_and_teacher_share_the_loss(weight: float) -> None:
    teacher, rows = net(seed=1), batch()
    made = method(teacher, weight=weight, temperature=3.0)
    student = made.net(rows.inputs)
    expected = (1 - weight) * nn.functional.cross_entropy(student, rows.labels)
    expected = expected + weight * distillation(student, teacher(rows.inputs), 3.0)
    torch.testing.assert_close(loss_of(made, rows).value, expected)


@pytest.mark.parametrize("classes", [("hen", "cat", "dog"), ("owl", "dog", "cow", "hen", "cat")])
def test_classes_are_matched_by_name(classes: tuple[str, ...]) -> None:
    teacher, rows = net(classes, seed=1), batch()
    wanted = teacher(rows.inputs)[:, [classes.index(name) for name in CLASSES]]
    made = method(teacher, weight=1.0, temperature=2.0)
    torch.testing.assert_close(loss_of(made, rows).value, distillation(made.net(rows.inputs), wanted, 2.0))


def test_a_head_without_names_is_taken_in_the_order_of_the_data() -> None:
    teacher, rows = net(seed=1, outputs=3), batch()
    made = method(teacher, weight=1.0)
    expected = distillation(made.net(rows.inputs), teacher(rows.inputs), 4.0)
    torch.testing.assert_close(loss_of(made, rows).value, expected)


@pytest.mark.parametrize(
    ("teacher", "text"),
    [
        (lambda: net(("dog", "owl")), "it does not know 2 of 3 classes, first cat"),
        (lambda: net(outputs=10), "its weights do not name their 10 classes, and the data have 3"),
        (lambda: build(net().recipe), "its net has no head for classes"),
    ],
)
def test_a_teacher_that_does_not_know_the_classes_is_told(teacher: Any, text: str) -> None:
    with pytest.raises(ConfigError) as told:
        method(teacher())
    assert str(told.value) == f"fine_tune.teacher: {text}"


def test_the_teacher_is_no_part_of_what_learns_or_is_saved() -> None:
    teacher = net(seed=1)
    before = {name: x.clone() for name, x in teacher.state_dict().items()}
    made = method(teacher)
    assert made.state_dict().keys() == {f"net.{name}" for name in made.net.state_dict()}
    (group,) = param_groups(made, Trainer()).values()
    assert {id(p) for p in group.parameters} == {id(p) for p in made.net.parameters()}
    made.train()
    loss_of(made, batch()).value.backward()
    assert not any(module.training for module in made.teacher.module.modules())
    assert all(p.grad is None for p in made.teacher.module.parameters())
    assert all(torch.equal(x, before[name]) for name, x in made.teacher.module.state_dict().items())


class Shelf:
    """A context whose store has one net."""

    device = torch.device("cpu")

    def __init__(self, stored: Any) -> None:
        self.stored = stored

    def net(self, job: Any, ref: Any) -> Any:
        return self.stored


@relaxed
@given(st.floats(0, 1), st.floats(0.1, 1), st.floats(0, 1), st.floats(0.1, 1))
def test_a_teacher_sees_pixels_as_it_learned_them(mean: float, std: float, theirs: float, spread: float) -> None:
    pixels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    node = {"family": "mlp", "input": INPUT | {"mean": [theirs], "std": [spread]}, "precision": "fp32"}
    teacher = build(node)
    teacher.set_head("classify", CLASSES)
    expected = teacher({"pixels": (pixels - theirs) / spread})
    spec = {"model": {**node, "input": INPUT | {"mean": [mean], "std": [std]}}, "parents": {"teacher": {"model": node}}}
    found = parent(Job("fine_tune", "", spec, (), {}), Shelf(teacher), "teacher")  # type: ignore[arg-type]
    torch.testing.assert_close(found({"pixels": (pixels - mean) / std}), expected, rtol=1e-3, atol=1e-3)
    assert not any(p.requires_grad for p in found.module.parameters())


# whole runs
COMMON = ("data=digits", "strategy=scratch", "trainer=tiny", "runtime=cpu", "runtime.threads=1", "runtime.save_every=0")
SMALL = ("model=mlp", "fine_tune=distill")


def words(runs: Path, *more: str) -> list[str]:
    return ["run", *COMMON, *more, "--runs", str(runs)]


def folder_of(runs: Path, name: str) -> Path:
    """The stored fine-tuning of a run whose method is `name`."""
    specs = {path.parent: json.loads(path.read_text())["spec"] for path in runs.glob(".store/*/stage.json")}
    (found,) = (path for path, spec in specs.items() if spec.get("method", {}).get("method") == name)
    return found


@pytest.fixture(scope="module")
def taught(shelf: Path) -> tuple[Path, str]:
    """A store with a teacher, and the teacher's run."""
    runs = shelf / "runs"
    code, text = run(words(runs, "model=lenet"), shelf / "out")
    assert code == 0, text
    (teacher,) = runs.glob("scratch-digits/*")
    return runs, str(teacher)


@pytest.fixture
def store(taught: tuple[Path, str], here: Path) -> Path:
    """A copy of that store, for one test."""
    shutil.copytree(taught[0], here / "runs", symlinks=True)
    return here / "runs"


def test_a_run_teaches_another_and_a_killed_one_ends_with_the_same_bytes(
    store: Path, taught: tuple[Path, str], here: Path
) -> None:
    argv = words(store, *SMALL, f"fine_tune.teacher={taught[1]}")
    assert run(argv, here / "out", at=("fine_tune", 2))[0] == -signal.SIGKILL
    code, text = run(argv, here / "out")
    assert code == 0, text
    assert "fine_tune goes on at step 2 of 3" in text
    rows = [json.loads(line) for line in (folder_of(store, "distill") / "rows.jsonl").read_text().splitlines()]
    assert {"loss", "label", "distillation"} <= rows[0].keys()
    resumed = manifests(store)
    shutil.rmtree(folder_of(store, "distill"))
    code, text = run(argv, here / "out")
    assert code == 0, text
    assert manifests(store) == resumed


def test_the_teacher_is_heard(store: Path, taught: tuple[Path, str], here: Path) -> None:
    """The control: with all weight on the labels, other weights are learned."""
    nets = []
    for weight in ("0.9", "0.0"):
        argv = words(store, *SMALL, f"fine_tune.teacher={taught[1]}", f"fine_tune.weight={weight}")
        code, text = run(argv, here / "out")
        assert code == 0, text
        nets.append((folder_of(store, "distill") / "model-final.safetensors").read_bytes())
        shutil.rmtree(folder_of(store, "distill"))
    assert nets[0] != nets[1]


def test_a_file_teaches_as_the_run_it_is_from(store: Path, taught: tuple[Path, str], here: Path) -> None:
    """The classes of a file have no names: they are those of the data, in order."""
    shutil.copy(folder_of(store, "supervised") / "model-final.safetensors", here / "teacher.safetensors")
    found = []
    model = ["fine_tune.teacher_model=lenet"]
    for teacher, more in ((taught[1], []), (str(here / "teacher.safetensors"), model)):
        code, text = run(words(store, *SMALL, f"fine_tune.teacher={teacher}", *more), here / "out")
        assert code == 0, text
        found.append((folder_of(store, "distill") / "model-final.safetensors").read_bytes())
        shutil.rmtree(folder_of(store, "distill"))
    assert found[0] == found[1]


def test_weights_that_do_not_fit_are_told_by_the_setting(store: Path, taught: tuple[Path, str], here: Path) -> None:
    shutil.copy(folder_of(store, "supervised") / "model-final.safetensors", here / "teacher.safetensors")
    argv = words(store, *SMALL, f"fine_tune.teacher={here / 'teacher.safetensors'}", "fine_tune.teacher_model=conv4")
    code, text = run(argv, here / "out")
    assert code == 5, text
    assert "error: fine_tune.teacher=" in text
    assert "tensors do not fit conv4" in text


def test_a_teacher_of_other_pictures_is_told(store: Path, taught: tuple[Path, str], here: Path) -> None:
    argv = words(store, *SMALL, f"fine_tune.teacher={taught[1]}", "model.input.size=32", "model.input.crop=32")
    code, text = run(argv, here / "out")
    assert code == 2, text
    assert "error: fine_tune.teacher: its net reads other inputs: size 28 (here 32), crop 28 (here 32)" in text
