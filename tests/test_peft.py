"""Prompts, prefixes and (IA)^3 of the peft library: what they compute, what is stored, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from transfer_cli import extras
from transfer_cli.errors import ConfigError
from transfer_cli.models.net import Net, build, rebuild
from transfer_cli.models.tensors import parse
from transfer_cli.store.store import Store

pytest.importorskip("peft", reason="the extra peft is not installed")
Transfer = Callable[..., Any]
SETTINGS = yaml.safe_load((Path(__file__).parents[1] / "conf" / "model" / "transformers.yaml").read_text())
INPUT = {"tokenizer": "byte", "length": 12, "size": 300, "digest": "d"}
WORDS = ("good fine great happy warm", "bad poor awful sad cold")
SMALL = (
    "trainer=tiny",
    "trainer.steps=3",
    "trainer.validations=0",
    "runtime=cpu",
    "model.layers=1",
    "model.width=16",
    "model.places=40",
)
TOKENS = 5


def small(name: str, **changes: Any) -> Net:
    torch.manual_seed(0)
    node = SETTINGS | {"name": name, "layers": 2, "heads": 2, "width": 16, "input": INPUT, "places": 20} | changes
    net = build(node).eval()
    net.set_head("classify", ["a", "b"])
    return net


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 300, (2, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(12) < torch.tensor([12, 7])[:, None]
    return {"ids": ids.masked_fill(~mask, 0), "mask": mask}


@torch.no_grad()
def shaken(net: Net, kind: str) -> list[Any]:
    """The parameters of a part, as if they had learned."""
    made = net.graft(kind, **({} if kind == "ia3" else {"tokens": TOKENS}))
    for parameter in made:
        parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


@pytest.mark.parametrize("kind", ["prompt", "prefix", "p_tuning", "ia3"])
@pytest.mark.parametrize("name", ["gpt2", "bert", "llama"])
def test_a_part_learns_alone_and_survives_save_and_load(name: str, kind: str) -> None:
    net, batch = small(name), inputs()
    names, before = set(net.state_dict()), net(batch)
    made = shaken(net, kind)
    net.requires_grad_(False)
    for parameter in made:
        parameter.requires_grad_(True)
    after = net(batch)
    after.sum().backward()
    assert all(parameter.grad is not None for parameter in made)
    assert not torch.allclose(after, before, atol=1e-3)
    assert names < set(net.state_dict())  # what was there keeps its name
    assert len(set(net.state_dict()) - names) == len(made)
    owned = [id(p) for block in net.blocks() for p in block.parameters()]
    assert len(owned) == len(set(owned)) == len(list(net.parameters()))
    again = rebuild(json.loads(json.dumps(net.describe()))).eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(batch), after)
    alone = {key: value[1:, :7] for key, value in batch.items()}
    assert torch.allclose(net(alone), after[1:], atol=1e-5)  # padding changes nothing


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_a_prompt_by_hand(name: str) -> None:
    """The net of before, given embeddings with the prompt in front."""
    net, plain, batch = small(name), small(name), inputs()
    (prompt,) = shaken(net, "prompt")
    library = plain.backbone.net
    words = library.get_input_embeddings()(batch["ids"])  # type: ignore[operator, union-attr]
    embedded = torch.cat([prompt.expand(2, -1, -1), words], dim=1)
    mask = torch.cat([torch.ones(2, TOKENS, dtype=torch.int64), batch["mask"].long()], dim=1)
    states = library(inputs_embeds=embedded, attention_mask=mask).last_hidden_state[:, TOKENS:]  # type: ignore[operator]
    mine = net.backbone(**batch)
    assert torch.allclose(mine[batch["mask"]], states[batch["mask"]], atol=1e-5)


def test_ia3_by_hand() -> None:
    """Of a linear layer whose outputs are scaled: scale times the layer."""
    net, batch, seen = small("bert"), inputs(), []
    layer = net.backbone.get_submodule("net.encoder.layer.0.intermediate.dense")
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    (scale, _) = net.graft("ia3", ["intermediate.dense"])
    with torch.no_grad():
        scale.uniform_(0.5, 2)
    net.backbone.get_submodule("net.encoder.layer.0.intermediate.dense").register_forward_hook(
        lambda module, given, out: seen.append((given[0], out))
    )
    net(batch)
    ((given, out),) = seen
    assert torch.allclose(out, (given @ weight.T + bias) * scale.flatten(), atol=1e-5)


def test_the_same_settings_learn_on_and_others_are_refused() -> None:
    net = small("gpt2")
    first = net.graft("prompt", tokens=TOKENS)
    assert [id(p) for p in net.graft("prompt", tokens=TOKENS)] == [id(p) for p in first]
    with pytest.raises(ConfigError, match="fine_tune=4 tokens: the net has prompts already, with 5 tokens"):
        net.graft("prompt", tokens=4)


@pytest.mark.parametrize(
    ("name", "kind", "settings", "text"),
    [
        ("gpt2", "prompt", {"tokens": 9}, "fine_tune.tokens=9: the net has 20 positions and texts take 12"),
        ("distilbert", "prefix", {"tokens": 2}, "fine_tune=prefix: distilbert takes no keys and values from outside"),
        (
            "electra",
            "ia3",
            {},
            "fine_tune.layers=[]: peft has no default ia3 layers for electra; give the endings of layer names",
        ),
        ("gpt2", "ia3", {"endings": ["nope"]}, "fine_tune.layers=['nope']: "),
    ],
)
def test_what_a_net_cannot_bear(name: str, kind: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        small(name).graft(kind, **settings)
    assert raised.value.faults[0].line().startswith(text)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 0},
        {"tokens": 10**9},
        {"tokens": "5"},
        {"layers": "x"},
        {"layers": [1]},
        {"more": 1},
        {"tokens": True},
    ],
)
def test_a_damaged_description_is_refused(change: dict[str, Any]) -> None:
    net = small("gpt2")
    net.graft("prompt", tokens=TOKENS)
    description = net.describe()
    description["grafts"] = [description["grafts"][0] | change]
    with pytest.raises(ConfigError, match="the description of the net's peft parts is damaged"):
        rebuild(description)


# whole runs
def reviews(path: Path, seed: int) -> str:
    rows = [f"{WORDS[i % 2].split()[(i * 7 + seed + i // 2) % 5]} item {i},{'pn'[i % 2]}" for i in range(120)]
    path.write_text("text,label\n" + "\n".join(rows))
    return str(path)


def book(path: Path) -> str:
    path.write_text("".join(f"the {i % 7} of {i % 5} is {i % 3}.\n" for i in range(400)))
    return str(path)


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text()))


CASES = [
    ("prompt", "bert_tiny", "classify"), ("prefix", "bert_tiny", "classify"), ("ia3", "gpt_tiny", "classify"),
    ("prompt", "gpt_tiny", "language"), ("prefix", "gpt_tiny", "language"), ("p_tuning", "gpt_tiny", "language"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "model", "task"), CASES)
def test_a_run_stores_the_part_and_the_head(
    method: str, model: str, task: str, transfer: Transfer, tmp_path: Path
) -> None:
    made = (reviews(tmp_path / "a.csv", 0), reviews(tmp_path / "b.csv", 1))
    if task == "language":
        made = (book(tmp_path / "a.txt"), book(tmp_path / "b.txt"))
    spec = "model.input={tokenizer: byte, length: 20}"
    words = [f"data={made[0]}", f"source={made[1]}", f"model={model}", spec, *SMALL]
    told = transfer("run", "-q", *words, "strategy=fine_tune", f"fine_tune={method}")
    assert told.code == 0, told.err
    first = results(Path(told.out.strip()))
    key = next(stage["key"] for stage in first["stages"] if stage["name"] == "fine_tune")
    stored = parse(Store(tmp_path / "runs" / ".store").read(key, "model-final.safetensors"))[0]
    head = {name for name in stored if name.startswith("net.heads.")}
    own = {name for name in stored if ".prompt_encoder." in name or ".ia3_l." in name}
    assert head
    assert own
    assert set(stored) == head | own
    assert sum(x.numel() for x in stored.values()) == first["cost"]["trained"]
    again = transfer("run", "-q", f"weights={told.out.strip()}", f"data={made[0]}", "strategy=none", "runtime=cpu")
    assert again.code == 0, again.err
    assert results(Path(again.out.strip()))["headline"] == first["headline"]


@pytest.mark.parametrize("method", ["prompt", "ia3"])
def test_a_net_that_is_none_of_transformers_gets_one_line(method: str, transfer: Transfer) -> None:
    told = transfer("run", "data=digits", "model=mlp", "trainer=tiny", f"fine_tune={method}")
    reads = " that reads texts" if method == "prompt" else ""
    assert told.code == 2
    assert told.errors == [
        f"error: fine_tune={method}: is for a net of the transformers library{reads}",
        "  do: model=gpt_tiny, bert_tiny or transformers; fine_tune=lora fits any net",
    ]


def test_a_missing_extra_is_one_line(transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    told = transfer("run", "data=digits", "model=mlp", "fine_tune=prefix")
    assert told.code == 2
    assert told.errors == ["error: fine_tune=prompt: needs an extra: pip install 'transfer-cli[peft]'"]
