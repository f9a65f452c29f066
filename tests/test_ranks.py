"""Several processes train one run: the weights of one, to rounding; who is lost, fails or is told to stop."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pair import (
    KINDS,
    SHARDED,
    WORLD,
    load,
    net,
    one_fails,
    one_is_lost,
    run_pair,
    setting,
    shard_all,
    sharding,
    together,
    train_all,
)
from test_loop import TwoYields
from victims import KILL, manifests, run

from transfer_cli.contracts import MethodInputs
from transfer_cli.engine import shard
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError
from transfer_cli.methods.lora import Lora
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models.tensors import unpack
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

WORDS = ("data=digits", "model=mlp", "trainer=tiny", "runtime.threads=1", "runtime.device=cpu")
TASKS = {"target": Classify(TaskContext(("0", "1", "2")))}
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained(shelf: Path) -> Path:
    """What two processes made of every kind of training; one pair for all."""
    folder = shelf / "trained"
    folder.mkdir()
    assert together(train_all, folder) == [0, 0]
    return folder


def alone(kind: str) -> State:
    made = setting(kind)
    for t in range(made.trainer.steps):
        logs = made.step(t)
    return {**made.state(), **{f"log.{name}": x for name, x in logs.items()}}


@pytest.mark.parametrize("kind", ["one_yield", "two_yields", "logging", "clip", "adamw", "accumulate"])
def test_two_processes_give_the_weights_and_logs_of_one(kind: str, trained: Path) -> None:
    """float64, 7 rows a batch: 4 for one, 3 for the other; a mean of means would be wrong in the second digit."""
    one, two = alone(kind), load(f"{kind}-0", trained)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_after_each_step_all_processes_hold_the_same_bits(kind: str, trained: Path) -> None:
    first, second = (load(f"{kind}-{rank}", trained) for rank in range(WORLD))
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("kind", ["batchnorm", "dropout", "augment"])
def test_what_looks_at_the_rows_of_one_process_differs_from_one(kind: str, trained: Path) -> None:
    """The control of the tests above: statistics and noise are those of a share of the batch."""
    one, two = alone(kind), load(f"{kind}-0", trained)
    assert not torch.allclose(one["log.loss"], two["log.loss"], rtol=1e-6)


def test_processes_draw_different_noise_for_different_rows_and_the_same_where_all_do_the_same(trained: Path) -> None:
    first, second = (load(f"noise-{rank}", trained) for rank in range(WORLD))
    assert len(first["index"]) == 4
    assert len(second["index"]) == 3
    assert not set(first["index"].tolist()) & set(second["index"].tolist())
    assert torch.equal(first["after"], second["after"])
    assert not torch.equal(first["step"], second["step"])
    assert not torch.equal(first["augmentation"], second["augmentation"])
    assert not torch.equal(first["after"], first["step"])


def test_who_dies_without_a_word_is_noticed(here: Path) -> None:
    assert together(one_is_lost, here) == [0, 0]
    assert (here / "lost").read_text() == "runtime.processes: one of the 2 processes was killed, probably out of memory"


def test_what_goes_wrong_at_another_process_is_told_by_the_first(here: Path) -> None:
    assert together(one_fails, here) == [0, 0]
    assert (here / "failed").read_text() == "4 process 2 of 2: digits: row 17 is torn the traceback"


# shares of parameters
@pytest.fixture(scope="module")
def split(shelf: Path) -> Path:
    folder = shelf / "split"
    folder.mkdir()
    assert together(shard_all, folder) == [0, 0]
    return folder


@pytest.mark.parametrize("kind", ["sharded", "sharded clip"])
def test_a_net_split_over_two_processes_is_stored_as_that_of_one(kind: str, split: Path) -> None:
    made = sharding(kind)
    for t in range(6):
        made.step(t)
    found, one = load(kind, split), made.state()
    assert found.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", SHARDED)
def test_a_split_net_goes_on_from_its_resume_file_with_the_same_bits(kind: str, split: Path) -> None:
    end, resumed, whole = (load(name, split) for name in (kind, f"{kind} resumed", f"{kind} whole"))
    assert [name for name in end if not torch.equal(end[name], resumed[name])] == []
    assert [name for name in whole if not torch.equal(whole[name], end[f"method.{name}"])] == []


def test_what_does_not_go_with_a_split_net_is_told(split: Path) -> None:
    told = [
        "runtime.shard=true: sgd does not support sharded parameters; trainer.optimizer=adamw",
        "trainer.accumulate: does not go with runtime.shard; allowed: 1",
    ]
    assert [(split / f"told{rank}").read_text().splitlines() for rank in range(WORLD)] == [told, told]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (
            lambda: Supervised(MethodInputs(net=net("sharded").net, tasks=TASKS), ema=0.9),
            "a moving average (ema) needs",
        ),
        (
            lambda: Lora(MethodInputs(net=net("sharded").net, tasks=TASKS)),
            "lora, adapter and similar methods change whole layers",
        ),
        (TwoYields, "this method trains more than the net"),
    ],
)
def test_methods_that_do_not_go_with_a_split_net_are_told(method: Any, text: str) -> None:
    with pytest.raises(ConfigError) as told:
        shard.check(method(), Trainer(optimizer="adamw"))
    assert str(told.value).startswith(f"runtime.shard=true: {text}")


# whole runs
def words(runs: Path, *more: str) -> list[str]:
    return ["run", *WORDS, "runtime=ddp", *more, "--runs", str(runs)]


def nets(runs: Path) -> dict[str, State]:
    """The final net of every trained stage, by key."""
    found = sorted(runs.glob(".store/*/model-final.safetensors"))
    return {path.parent.name: unpack(path.read_bytes())[0] for path in found}


def rows(runs: Path) -> list[dict[str, float]]:
    files = sorted(runs.glob(".store/*/rows.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(shelf: Path) -> Path:
    """A run of two processes that nobody disturbed."""
    (shelf / "whole").mkdir()
    ended = run_pair(words(shelf / "whole" / "runs"), shelf / "whole")
    assert [code for code, _ in ended] == [0, 0], ended
    assert ended[1][1] == ""  # the other process says nothing
    return shelf / "whole" / "runs"


def test_a_run_of_two_processes_is_that_of_one_to_rounding(whole: Path, here: Path) -> None:
    code, text = run(["run", *WORDS, "--runs", str(here / "runs")], here / "out")
    assert code == 0, text
    one, two = nets(here / "runs"), nets(whole)
    assert one.keys() == two.keys()  # the number of processes is in no key
    for key, tensors in one.items():
        for name, value in tensors.items():
            torch.testing.assert_close(two[key][name], value, rtol=1e-4, atol=1e-6, msg=name)
    for mine, theirs in zip(rows(whole), rows(here / "runs"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)


def test_the_number_of_processes_is_part_of_the_identity_class(whole: Path, here: Path) -> None:
    found = [json.loads(path.read_text()) for path in whole.glob(".store/*/stage.json")]
    assert {stage["spec"]["kind"]: stage["identity"]["processes"] for stage in found} == {"train": 2, "evaluate": 1}
    code, text = run(["run", *WORDS, "--runs", str(whole), "--strict-identity"], here / "out")
    assert code == 5, text
    assert "pretrain: is of another identity class: processes 1 (was 2)" in text


@pytest.mark.parametrize("place", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_one_of_two_is_killed_and_the_same_words_end_with_the_same_bytes(place: int, whole: Path, here: Path) -> None:
    argv = words(here / "runs", "runtime.save_every=0")
    meets = [{}, {}]
    meets[place] = {"at": ("pretrain", 2) if place == 0 else ("", 2), "act": KILL}
    ended = run_pair(argv, here, *meets)
    assert ended[place][0] == -signal.SIGKILL
    if place == 1:  # the first notices and tells; the other way round there is nobody left to tell but the launcher
        assert ended[0][0] == 6, ended
        assert "error: runtime.processes: one of the 2 processes was killed, probably out of memory" in ended[0][1]
    else:
        assert ended[1] == (0, "")
    ended = run_pair(argv, here)
    assert [code for code, _ in ended] == [0, 0], ended
    assert "pretrain goes on at step 2 of 3" in ended[0][1]
    assert manifests(here / "runs") == manifests(whole)


@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_signal_to_one_stops_all_at_the_same_step(place: int, whole: Path, here: Path) -> None:
    meets = [{}, {}]
    meets[place] = {"at": ("pretrain", 1) if place == 0 else ("", 1), "act": ("signals", [signal.SIGTERM])}
    ended = run_pair(words(here / "runs"), here, *meets)
    assert [code for code, _ in ended] == [143, 0], ended
    assert "stopped by SIGTERM: pretrain 2 of 3, saved" in ended[0][1]
    ended = run_pair(words(here / "runs"), here)
    assert [code for code, _ in ended] == [0, 0], ended
    assert manifests(here / "runs") == manifests(whole)


def test_a_run_with_a_split_net_stores_what_one_process_does(here: Path) -> None:
    more = ("trainer.optimizer=adamw", "trainer.lr=0.001", "strategy=scratch", "runtime.save_every=0")
    argv = words(here / "runs", "runtime.shard=true", *more)
    ended = run_pair(argv, here, {"at": ("fine_tune", 2), "act": KILL}, {})
    assert [code for code, _ in ended] == [-signal.SIGKILL, 0], ended
    ended = run_pair(argv, here)
    assert [code for code, _ in ended] == [0, 0], ended
    assert "fine_tune goes on at step 2 of 3" in ended[0][1]
    code, text = run(["run", *WORDS, *more, "--runs", str(here / "one")], here / "out")
    assert code == 0, text
    (split,), (one,) = nets(here / "runs").values(), nets(here / "one").values()
    assert split.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(split[name], value, rtol=1e-3, atol=1e-5, msg=name)
    for mine, theirs in zip(rows(here / "runs"), rows(here / "one"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)


def test_what_fails_in_the_second_process_ends_the_run_with_its_line(here: Path) -> None:
    ended = run_pair(words(here / "runs"), here, {}, {"at": ("", 1), "act": ("raise", "out of luck")})
    assert [code for code, _ in ended] == [1, 0], ended
    assert "error: process 2 of 2: ValueError: out of luck" in ended[0][1]
    (log,) = here.glob("runs/*/*/log.txt")
    assert "in _do" in log.read_text()  # the traceback of the other process


def test_what_fails_in_the_first_process_ends_the_other(here: Path) -> None:
    ended = run_pair(words(here / "runs"), here, {"at": ("pretrain", 1), "act": ("raise", "out of luck")}, {})
    assert [code for code, _ in ended] == [1, 0], ended


def test_divergence_is_found_by_all_and_told_once(here: Path) -> None:
    ended = run_pair(words(here / "runs"), here, {"TRANSFER_TEST_NAN_AT": 1}, {})
    assert [code for code, _ in ended] == [7, 0], ended
    assert "error: pretrain: non-finite loss at step 1" in ended[0][1]
    assert ended[1][1] == ""


def test_more_processes_than_rows_are_told_before_any_work(here: Path) -> None:
    ended = run_pair(words(here / "runs", "trainer.batch=1"), here)
    assert [code for code, _ in ended] == [2, 0], ended
    assert "error: runtime.processes=2: a batch of stream target of pretrain has 1 rows" in ended[0][1]
    assert not list(here.glob("runs/.store/*/stage.json"))
