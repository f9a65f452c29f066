"""What stands in stage keys, for configurations of every shape, is what it was: an edit of the plan that changes a spec
would make everybody's stored results useless, so it is made on purpose and here.

`tests/plan_specs.json` holds them without the hashes of code. Written anew by `python tests/test_plan_specs.py`."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer_cli.config.compose import load
from transfer_cli.plan.plan import Plan
from transfer_cli.plan.planner import plan

STORED = Path(__file__).with_name("plan_specs.json")
DIGITS = ("data=digits", "source=digits", "model=mlp", "runtime=cpu", "model.precision=fp32", "trainer=tiny")
TEXTS = ("data={0}/a.csv", "source={0}/b.csv", "runtime=cpu", "model.precision=fp32", "trainer=tiny")
BAG = ("model=embedding_bag", "model.input={{tokenizer: bpe, size: 300, length: 32}}")
GPT = ("model=gpt_tiny", "model.input={{tokenizer: byte, length: 32}}")
STRATEGIES = (
    "adabn", "adapter", "bitfit", "cdan", "coral", "dann", "few_shot", "fine_tune", "knn", "linear_probe", "lora",
    "mcc", "mean_teacher", "none", "partial", "pseudo_label", "scratch", "shot", "source_only", "tent",
)  # fmt: skip
CASES: dict[str, tuple[str, ...]] = {
    **{name: (f"strategy={name}", *DIGITS) for name in STRATEGIES},
    "base": ("data=digits", "model=mlp", "model.precision=fp32", "runtime=cpu"),
    "shots": ("strategy=coral", *DIGITS, "data.shots=5", "data.val_shots=2", "seed=3", "oracle=true"),
    "fold": ("strategy=linear_probe", *DIGITS, "data.fold=1", "evaluate.part=val", "data.fraction=0.5"),
    "episodes": ("strategy=few_shot", *DIGITS, "evaluate={{way: 3, shots: 2, queries: 4, draws: 10}}"),
    "partial classes": ("strategy=pada", *DIGITS, "data.classes=[7,2]", "oracle=true"),
    "open classes": ("strategy=osbp", *DIGITS, "source.classes=[7,2]"),
    "reserved": (
        "strategy=dann", *DIGITS, "align.rule=entropy", "align.seed=7", "align.trainer.steps=9", "data.augment=weak",
        "align.feeds.source.batch=16", "pretrain.seed=same",
    ),
    "chain": (
        "stages=[pretrain,align,align_2,fine_tune,evaluate]", "pretrain=simclr", "align=coral", "align_2=adabn",
        "fine_tune=lora", *DIGITS,
    ),
    "weights": ("strategy=fine_tune", "weights={0}/net.pth", *DIGITS[:1], *DIGITS[2:]),
    "untrained": ("strategy=knn", "pretrain=none", *DIGITS),
    "whole": ("strategy=dann", *TEXTS, *BAG, "data.whole=true"),
    "noise": ("strategy=fine_tune", *DIGITS, "data.label_noise=0.2"),
    "texts": ("strategy=fine_tune", *TEXTS, *BAG),
    "language": ("strategy=fine_tune", "data={0}/a.txt", "data.passage=200", "source=none", "pretrain=none", *GPT,
                 "runtime=cpu", "model.precision=fp32", "trainer=tiny"),
    "vectors": ("strategy=linear_probe", "data={0}/v.npz", "source={0}/v.npz", "runtime=cpu", "model.precision=fp32"),
}  # fmt: skip


def write_data(folder: Path) -> None:
    """Files that the cases name."""
    words = ("good fine great happy warm", "bad poor awful sad cold")
    for name, seed in (("a", 0), ("b", 1)):
        rows = [f"{words[i % 2].split()[(i * 7 + seed + i // 2) % 5]} item {i},{'pn'[i % 2]}" for i in range(120)]
        (folder / f"{name}.csv").write_text("text,label\n" + "\n".join(rows))
    (folder / "a.txt").write_text("".join(f"the {i % 7} of {i % 5} is {i % 3}.\n" for i in range(600)))
    (folder / "net.pth").write_bytes(b"never opened by the plan")
    rng = np.random.default_rng(0)
    np.savez(folder / "v.npz", features=rng.standard_normal((60, 4)).astype(np.float32), labels=np.arange(60) % 3)


def planned(folder: Path, *words: str) -> Plan:
    return plan(load([word.format(folder) for word in words]), runs=folder / "runs")


def facts(found: Plan) -> list[dict[str, Any]]:
    """Each stage without the hashes of code, and with keys of stages replaced by the stages' names: keys hold code."""
    names = {stage.key: stage.name for stage in found.work}
    whole = [
        {
            "name": stage.name, "method": stage.method, "what": stage.what, "rule": stage.rule,
            "rules": list(stage.rules), "seed": stage.seed, "names": list(stage.names),
            "spec": {key: value for key, value in stage.spec.items() if key != "code"},
        }
        for stage in found.stages
    ]  # fmt: skip
    text = re.sub(r"\b[0-9a-f]{32}\b", lambda key: names.get(key[0], key[0]), json.dumps(whole))
    return list(json.loads(text))


def settled(every: dict[str, Any]) -> dict[str, Any]:
    """With hashes of content numbered in order of appearance: they are those of files of this machine's libraries."""
    seen: dict[str, str] = {}
    text = re.sub(r"\b[0-9a-f]{64}\b", lambda h: seen.setdefault(h[0], f"content {len(seen)}"), json.dumps(every))
    return dict(json.loads(text))


def computed(folder: Path) -> dict[str, Any]:
    write_data(folder)
    found = {name: settled({"stages": facts(planned(folder, *words))})["stages"] for name, words in CASES.items()}
    return dict(json.loads(json.dumps(found).replace(str(folder), "FOLDER")))


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return computed(tmp_path_factory.mktemp("specs"))


@pytest.mark.parametrize("name", CASES)
def test_what_is_hashed_is_what_it_was(name: str, now: dict[str, Any]) -> None:
    assert now[name] == json.loads(STORED.read_text())[name]


def test_a_spec_says_in_full_what_decides_it(now: dict[str, Any]) -> None:
    """The stored file is no empty promise: stages that differ in one setting differ in their spec."""
    assert now["noise"] != now["fine_tune"]
    assert now["shots"][1]["spec"]["oracle"]["part"] == ["test", "train"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in computed(Path(place)).items()]
        STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
