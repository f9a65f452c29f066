"""Words that the plan resolves: tasks, samplers, marks, views, parents; heads that nobody taught; and the error
where one of them is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.config.compose import load
from transfer_cli.config.signatures import signature, stems
from transfer_cli.errors import TransferError
from transfer_cli.plan.plan import Plan
from transfer_cli.plan.planner import plan

DIGITS = ("data=digits", "source=digits", "model=mlp", "model.precision=fp32", "runtime=cpu", "trainer=tiny")
TINY_TEXT = ("model=gpt_tiny", "model.input={tokenizer: byte, length: 32}", "source=none", "runtime=cpu")
ECHO = '''
from transfer_cli.contracts import Method, Stream


class Echo(Method):
    """Learns from a teacher."""

    streams = {"target": Stream()}
    parents = ("teacher",)

    def __init__(self, given, *, teacher: str | None = None, teacher_model: str | None = None, note: str = "") -> None:
        super().__init__()
'''
PICKY = '''
class Picky:
    """Rows of some classes more often."""

    def __init__(self, labels, batch: int, *, share: float = 0.5) -> None: ...
'''
ECHO_YAML = """# Learns from a teacher.
method: echo
feeds: {target: {batch: 8}}
trainer: {lr: 0.5, steps: 7}
marks: 2
"""


def planned(folder: Path, *words: str) -> Plan:
    return plan(load([*DIGITS, *words]), runs=folder / "runs")


def spec(folder: Path, stage: str, *words: str) -> dict[str, Any]:
    return next(s.spec for s in planned(folder, *words).stages if s.name == stage)


def fault(folder: Path, *words: str, all_words: tuple[str, ...] | None = None) -> tuple[int, str, str | None]:
    """Exit code, line and advice of the error."""
    with pytest.raises(TransferError) as caught:
        plan(load([*(DIGITS if all_words is None else all_words), *words]), runs=folder / "runs")
    (first,) = caught.value.faults
    return caught.value.code, first.line(), first.do


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The word for a plugin package with the method `echo` and the sampler `picky`."""
    name = f"plugin_{abs(hash(tmp_path))}"
    files = {
        "__init__.py": "", "methods/echo.py": ECHO, "samplers/picky.py": PICKY, "conf/method/echo.yaml": ECHO_YAML,
    }  # fmt: skip
    for file, text in files.items():
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"plugins=[{name}]"


# heads
def test_a_head_that_nobody_taught_is_not_scored(tmp_path: Path) -> None:
    text = "no stage teaches the net classify, the task of digits; its head would be a random one"
    for words in (("pretrain=none", "fine_tune=none"), ("pretrain=simclr", "fine_tune=none")):
        code, line, do = fault(tmp_path, "strategy=fine_tune", *words)
        assert (code, line) == (2, f"evaluate: {text}")
        assert do == "fine_tune=full or linear_probe, predictor=knn, or weights=RUN"


def test_a_predictor_needs_no_head(tmp_path: Path) -> None:
    assert spec(tmp_path, "evaluate", "strategy=knn", "pretrain=none")["nets"] == {"final": {"init": 0}}


def test_weights_from_outside_may_have_a_head(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"never opened here")
    words = ("data=digits", "model=mlp", "runtime=cpu", "strategy=none", f"weights={tmp_path / 'net.pth'}")
    assert plan(load(words), runs=tmp_path).work[-1].name == "evaluate"


def test_a_run_that_taught_no_head_has_none_to_score(transfer: Any, tmp_path: Path) -> None:
    words = [word for word in DIGITS if word != "model=mlp"]
    assert transfer("run", *words, "strategy=knn", "pretrain=simclr", "model=conv4", "model.filters=4").code == 0
    told = transfer("run", "data=digits", "weights=last", "strategy=none", "runtime=cpu")
    assert (told.code, told.errors[0].partition(";")[0]) == (
        2, "error: evaluate: no stage teaches the net classify, the task of digits",
    )  # fmt: skip


# tasks
def reviews(folder: Path) -> str:
    rows = [f"{['good', 'bad'][i % 2]} item number {i},{'pn'[i % 2]}" for i in range(60)]
    (folder / "a.csv").write_text("text,label\n" + "\n".join(rows))
    return f"data={folder / 'a.csv'}"


def test_a_task_enters_a_key_only_where_it_is_not_the_datas_own(tmp_path: Path) -> None:
    assert spec(tmp_path, "fine_tune", "task=classify") == spec(tmp_path, "fine_tune")
    words = (reviews(tmp_path), *TINY_TEXT, "pretrain=none", "task=language")
    made = plan(load(words), runs=tmp_path)
    assert [stage.spec["task"] for stage in made.work] == [{"task": "language"}] * 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("task=regress",), "task=regress: learns from labels that digits does not have; its task is classify"),
        (("task=language",), "task=language: reads texts, and digits are pictures"),
        (("task=regres",), "task=regres: unknown; nearest: regress; see transfer list task"),
        (("task.delta=2",), "task: settings of a task that is not named; say task=NAME task.delta=..."),
        (("task=regress", "task.delta=0"), "task.delta=0: number > 0, now 1"),
    ],
)
def test_a_task_that_does_not_fit_is_said(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    assert fault(tmp_path, *words)[:2] == (2, line)


def test_a_method_that_needs_classes_cannot_learn_a_task_without(tmp_path: Path) -> None:
    words = (reviews(tmp_path), *TINY_TEXT, "pretrain=none", "task=language", "strategy=linear_probe")
    code, line, do = fault(tmp_path, all_words=words)
    data = tmp_path / "a.csv"
    assert (code, do) == (2, "fine_tune=full or partial")
    assert line == f"fine_tune=linear_probe: cannot learn language, and that is the task of {data}"


# samplers
def test_a_sampler_and_its_settings_are_in_the_key(tmp_path: Path, plugin: str) -> None:
    words = ("strategy=fine_tune", plugin, "fine_tune.feeds.target.sampler=picky")
    made = spec(tmp_path, "fine_tune", *words, "fine_tune.feeds.target.batch=8")["streams"]["target"]
    assert (made["sampler"], made["batch"]) == ({"sampler": "picky", "share": 0.5}, 8)
    other = spec(tmp_path, "fine_tune", *words, "fine_tune.feeds.target.share=0.25")["streams"]["target"]
    assert other["sampler"] == {"sampler": "picky", "share": 0.25}
    assert "sampler" not in spec(tmp_path, "pretrain", *words)["streams"]["target"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("fine_tune.feeds.target.sampler=pick",),
            "fine_tune.feeds.target.sampler=pick: no such samplers file; nearest: picky",
        ),
        (
            ("fine_tune.feeds.target.sampler=picky", "fine_tune.feeds.target.shares=1"),
            "fine_tune.feeds.target.shares: picky has no such key; nearest: share (number, now 0.5)",
        ),
        (
            ("fine_tune.feeds.target.share=1",),
            "fine_tune.feeds.target.share: a stream has no such key; nearest: sampler (text or null)",
        ),
        (
            ("strategy=coral", "align.feeds.target.sampler=picky"),
            "align.feeds.target.sampler=picky: chooses rows by their labels, and the stream target of coral has none",
        ),
    ],
)
def test_a_sampler_that_does_not_fit_is_said(tmp_path: Path, plugin: str, words: tuple[str, ...], line: str) -> None:
    assert fault(tmp_path, plugin, *words)[:2] == (2, line)


# marks
def test_marks_are_handed_on_and_scored(tmp_path: Path) -> None:
    made = planned(tmp_path, "strategy=fine_tune", "fine_tune.marks=3")
    plain = planned(tmp_path, "strategy=fine_tune")
    assert made.work[1].spec == plain.work[1].spec | {"marks": 3}
    nets = made.work[-1].spec["nets"]
    assert list(nets) == ["final", "target_val", "at_1", "at_2", "at_3"]
    assert nets["at_2"] == {"key": made.work[1].key, "rule": "at_2", "part": "net"}
    assert made.work[0].key == plain.work[0].key


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("fine_tune.marks=4",), "fine_tune.marks=4: the stage has 3 steps; allowed: 1 to 3"),
        (("fine_tune.marks=0",), "fine_tune.marks=0: whole number >= 1 or null"),
        (
            ("strategy=linear_probe", "fine_tune.marks=1"),
            "fine_tune.marks=1: linear_probe has no steps to take snapshots between",
        ),
    ],
)
def test_marks_that_cannot_be_are_said(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    assert fault(tmp_path, *words)[:2] == (2, line)


# views
def views(folder: Path, text: str) -> list[dict[str, Any]]:
    return list(spec(folder, "evaluate", f"evaluate.views={text}").get("views", []))


def test_views_stand_in_the_key_of_evaluate_alone(tmp_path: Path) -> None:
    made, plain = planned(tmp_path, "evaluate.views=[classes]"), planned(tmp_path)
    assert [s.key for s in made.work[:-1]] == [s.key for s in plain.work[:-1]]
    assert made.work[-1].spec == plain.work[-1].spec | {"views": made.work[-1].spec["views"]}
    assert [view["name"] for view in made.work[-1].spec["views"]] == [f"class {n}" for n in range(10)]


def test_each_form_of_a_view(tmp_path: Path) -> None:
    assert views(tmp_path, "[{classes: [[0, 1, 2], ['7', '3']]}]") == [
        {"name": "classes 0 to 2", "classes": ["0", "1", "2"]},
        {"name": "classes 7, 3", "classes": ["7", "3"]},
    ]
    assert views(tmp_path, "[fgsm, {attack: pgd, eps: 0.1, steps: 5}]") == [
        {"name": "attack fgsm 0.03", "attack": "fgsm", "eps": 0.03, "steps": 1, "rate": 0.03},
        {"name": "attack pgd 0.1", "attack": "pgd", "eps": 0.1, "steps": 5, "rate": 0.05},
    ]
    assert views(tmp_path, "[]") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[domains]", "evaluate.views=domains: digits has no domains"),
        ("[clases]", "evaluate.views=clases: no such view; nearest: classes"),
        ("[fgsm, fgsm]", "evaluate.views: given twice: attack fgsm 0.03"),
        ("[{classes: [[0, 12]]}]", "evaluate.views=12: digits has no such class; positions are 0 to 9"),
        ("[{classes: [0]}]", "evaluate.views=[0]: classes must be lists of classes"),
        ("[{classes: 5}]", "evaluate.views=5: classes must be lists of classes"),
        ("[{classes: []}]", "evaluate.views=[]: classes must be lists of classes"),
        ("[{attack: [fgsm]}]", "evaluate.views=['fgsm']: no such attack; nearest: fgsm"),
        ("[{attack: pgb}]", "evaluate.views=pgb: no such attack; nearest: pgd"),
        ("[{attack: pgd, epsilon: 1}]", "evaluate.views: pgd has no setting epsilon"),
        ("[{attack: pgd, eps: 0}]", "evaluate.views=0: eps: number > 0"),
        ("[{attack: pgd, steps: 1.5}]", "evaluate.views=1.5: steps: whole number > 0"),
        ("[{attack: fgsm, steps: 2}]", "evaluate.views=steps 2: fgsm takes one step"),
    ],
)
def test_a_view_that_cannot_be_is_said(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, f"evaluate.views={text}")[:2] == (2, line)


def test_episodes_have_no_views(tmp_path: Path) -> None:
    found = fault(tmp_path, "strategy=few_shot", "evaluate.views=[classes]", "evaluate.way=2")
    assert found == (2, "evaluate.views: episodes have no views", "leave evaluate.way out")


# a method's own file
def test_a_methods_file_brings_feeds_trainer_and_marks_and_words_replace_them(tmp_path: Path, plugin: str) -> None:
    def found(*words: str) -> tuple[Any, ...]:
        base = [w for w in DIGITS if w != "trainer=tiny"]
        made = plan(load([*base, plugin, "fine_tune=echo", *words]), runs=tmp_path / "runs")
        stage = made.work[1].spec
        trainer = stage["trainer"]
        return stage["streams"]["target"].get("batch"), trainer["lr"], trainer["steps"], stage.get("marks")

    assert found() == (8, 0.5, 7, 2)
    assert found("trainer.lr=0.1") == (8, 0.1, 7, 2)
    assert found("fine_tune.trainer.steps=9", "fine_tune.marks=null") == (8, 0.5, 9, None)
    assert found("fine_tune.feeds.target.batch=4", "trainer=tiny") == (4, 0.05, 3, 2)


# parents
def echo(folder: Path, plugin: str, *words: str) -> Plan:
    return planned(folder, plugin, "fine_tune=echo", *words)


def test_the_content_of_a_parents_file_is_in_the_key_and_its_place_is_not(tmp_path: Path, plugin: str) -> None:
    file, moved = tmp_path / "net.pth", tmp_path / "moved.pth"
    file.write_bytes(b"some weights")
    shutil.copy(file, moved)
    first = echo(tmp_path, plugin, f"fine_tune.teacher={file}")
    ref = first.work[1].spec["parents"]["teacher"]
    assert (ref["file"], ref["model"]["family"]) == (str(file), "mlp")
    assert "teacher" not in first.work[1].spec["method"]
    assert echo(tmp_path, plugin, f"fine_tune.teacher={moved}").work[1].key == first.work[1].key
    assert echo(tmp_path, plugin).work[1].key != first.work[1].key
    file.write_bytes(b"other weights")
    assert echo(tmp_path, plugin, f"fine_tune.teacher={file}").work[1].key != first.work[1].key
    assert first.changed() == [file]


def test_a_parents_file_may_be_of_another_model(tmp_path: Path, plugin: str) -> None:
    (tmp_path / "net.pth").write_bytes(b"some weights")
    words = (f"fine_tune.teacher={tmp_path / 'net.pth'}", "fine_tune.teacher_model=lenet")
    found = echo(tmp_path, plugin, *words).work[1].spec
    assert found["parents"]["teacher"]["model"]["family"] == "lenet"
    wrong = fault(tmp_path, plugin, "fine_tune=echo", words[0], "fine_tune.teacher_model=lenett")
    assert wrong[:2] == (2, "fine_tune.teacher_model=lenett: unknown; nearest: lenet; see transfer list model")


def test_a_run_as_a_parent(transfer: Callable[..., Any], tmp_path: Path, plugin: str) -> None:
    assert transfer("run", *DIGITS, "strategy=none").code == 0
    (folder,) = (tmp_path / "runs").glob("[!.]*/*")
    stage = json.loads((folder / "results.json").read_text())["stages"][0]
    made = echo(tmp_path, plugin, "fine_tune.teacher=last")
    ref = made.work[1].spec["parents"]["teacher"]
    assert {**ref, "model": ref["model"]["family"]} == {
        "key": stage["key"], "rule": "source_val", "part": "net", "model": "mlp",
    }  # fmt: skip
    shutil.rmtree(tmp_path / "runs" / ".store" / stage["key"])
    code, line, do = fault(tmp_path, plugin, "fine_tune=echo", "fine_tune.teacher=last")
    run = folder.name.rpartition("-")[2]
    assert (code, line) == (5, f"fine_tune.teacher=last: the net of run {run} is no longer in the store")
    assert do == "run that run's words again; see its overrides.txt"
    shutil.rmtree(folder)
    code, line, _ = fault(tmp_path, plugin, "fine_tune=echo", f"fine_tune.teacher={run}")
    assert (code, line) == (2, f"fine_tune.teacher={run}: no such file, and no such run (none begins so)")


def test_a_parent_that_is_no_file_is_named(tmp_path: Path, plugin: str) -> None:
    found = fault(tmp_path, plugin, "fine_tune=echo", "fine_tune.teacher=./absent.pth")
    assert found[:2] == (5, "fine_tune.teacher=./absent.pth: no such file")


@pytest.mark.parametrize("name", stems("method"))
def test_a_free_text_of_our_methods_is_a_parent_or_the_model_of_one(name: str) -> None:
    """Any other would be the place for a file whose content no key holds."""
    found = signature("method", name)
    free = {param.name for param in found.params.values() if param.kind in ("str", "any")}
    assert free <= {*found.parents, *(f"{parent}_model" for parent in found.parents)}
    assert set(found.parents) <= set(found.params)


def test_a_setting_that_names_a_file_and_is_no_parent_is_refused(tmp_path: Path, plugin: str) -> None:
    (tmp_path / "note.txt").write_text("read by the method, in no key")
    code, line, do = fault(tmp_path, plugin, "fine_tune=echo", f"fine_tune.note={tmp_path / 'note.txt'}")
    text = "names a file, and note is none of the method's parents: a change would not be noticed"
    assert (code, line, do) == (2, f"fine_tune.note={tmp_path / 'note.txt'}: {text}", 'parents = ("note",) in echo.py')
