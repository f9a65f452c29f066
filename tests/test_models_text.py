"""Nets that read texts: what they see, what they are rebuilt from, and weights of others in them."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from transfer_cli.config.pretrained import model_of, read_config
from transfer_cli.errors import ConfigError, StoreError
from transfer_cli.models.net import Net, build, rebuild
from transfer_cli.models.weights import load

CONF = Path(__file__).parents[1] / "conf" / "model"
CAUSAL = ("gpt2", "llama", "mistral", "qwen2", "gpt_neox")
BOTH_SIDES = ("bert", "distilbert", "electra")
SETTINGS = yaml.safe_load((CONF / "transformers.yaml").read_text())


def text_input(size: int = 300, length: int = 16) -> dict[str, Any]:
    return {"tokenizer": "byte", "length": length, "size": size, "digest": "d"}


def small(name: str, **changes: Any) -> Net:
    torch.manual_seed(0)
    node = SETTINGS | {"name": name, "layers": 2, "heads": 2, "width": 16, "input": text_input()} | changes
    return build(node).eval()


def inputs(lengths: list[int], width: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 300, (len(lengths), width), generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"ids": ids.masked_fill(~mask, 0), "mask": mask}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_net_does_not_see_what_comes(name: str) -> None:
    net = small(name)
    net.add_head("language", "tokens", outputs=300)
    first = inputs([12, 12])
    other = {"ids": first["ids"].clone(), "mask": first["mask"]}
    other["ids"][:, 7:] = 5
    before, after = net(first, "language"), net(other, "language")
    assert torch.allclose(before[:, :7], after[:, :7], atol=1e-5)
    assert not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-2)
    assert net.backbone.causal


@pytest.mark.parametrize("name", BOTH_SIDES)
def test_an_encoder_sees_both_sides(name: str) -> None:
    net = small(name)
    first = inputs([12, 12])
    other = {"ids": first["ids"].clone(), "mask": first["mask"]}
    other["ids"][:, 11] = 5
    assert not torch.allclose(net.backbone(**first)[:, 0], net.backbone(**other)[:, 0], atol=1e-5)
    assert not net.backbone.causal


@pytest.mark.parametrize("pool", ["mean", "first", "last"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_padding_changes_no_feature(name: str, pool: str) -> None:
    net = small(name, pool=pool)
    padded = inputs([12, 5, 1])
    for row, length in enumerate([12, 5, 1]):
        alone = {key: value[row : row + 1, :length] for key, value in padded.items()}
        assert torch.allclose(net.features(padded)[row], net.features(alone)[0], atol=1e-5)


def test_pooling_takes_the_states_it_names() -> None:
    batch = inputs([12, 5])
    states = small("gpt2").backbone(**batch)
    assert torch.equal(small("gpt2", pool="last").features(batch), states[[0, 1], [11, 4]])
    assert torch.equal(small("gpt2", pool="first").features(batch), states[:, 0])
    assert torch.allclose(small("gpt2").features(batch)[1], states[1, :5].mean(0), atol=1e-6)


@pytest.mark.parametrize("name", [*CAUSAL, *BOTH_SIDES])
def test_blocks_hold_every_parameter_once_and_a_description_rebuilds_the_net(name: str) -> None:
    net = small(name)
    net.set_head("classify", ["a", "b"])
    if net.backbone.causal:
        net.add_head("language", "tokens", outputs=300)
    owned = [id(p) for block in net.blocks() for p in block.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in net.parameters()}
    again = rebuild(json.loads(json.dumps(net.describe())))
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(inputs([9, 4]), "classify"), net(inputs([9, 4]), "classify"))
    assert again.head_kinds == net.head_kinds


@pytest.mark.parametrize("pairs", [0, 500])
def test_a_bag_of_words_is_the_mean_of_embeddings(pairs: int) -> None:
    node = yaml.safe_load((CONF / "embedding_bag.yaml").read_text()) | {"input": text_input(), "pairs": pairs}
    net, batch = build(node), inputs([7, 3])
    ids = batch["ids"][1, :3]
    words = net.backbone.words.weight[ids]  # type: ignore[union-attr, index]
    if not pairs:
        assert torch.allclose(net.features(batch)[1], words.mean(0), atol=1e-6)
        return
    table = net.backbone.pairs.weight  # type: ignore[union-attr]
    hashed = [(int(a) * 1_000_003 + int(b)) % 500 for a, b in pairwise(ids)]
    expected = (words.sum(0) + table[hashed].sum(0)) / 2 / 3
    assert torch.allclose(net.features(batch)[1], expected, atol=1e-6)


# weights of others
@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_of_the_library_gives_the_librarys_own_numbers(tmp_path: Path, tied: bool) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=tied)
    theirs = GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    option, values = model_of(str(tmp_path))
    assert option == "transformers"
    net = build(SETTINGS | {"config": values["config"], "input": text_input(length=32)}).eval()
    load(net, tmp_path / "model.safetensors")
    batch = inputs([12, 12])
    assert torch.equal(net(batch, "language"), theirs(input_ids=batch["ids"]).logits)


def test_the_ready_story_model_gives_the_librarys_own_numbers() -> None:
    folder = Path(os.environ.get("TRANSFER_DATA", "/nowhere")) / "weights" / "karpathy_stories260K_llama"
    if not folder.is_dir():
        pytest.skip("TRANSFER_DATA has no karpathy_stories260K_llama")
    from transformers import AutoModelForCausalLM

    _, values = model_of(str(folder))
    net = build(SETTINGS | {"config": values["config"], "input": text_input(512, 64)}).eval()
    load(net, folder / "model.safetensors")
    ids = torch.randint(0, 512, (2, 40), generator=torch.Generator().manual_seed(0))
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=ids).logits
    assert torch.allclose(net({"ids": ids, "mask": torch.ones_like(ids).bool()}, "language"), theirs, atol=1e-5)


def test_an_encoder_of_the_library_drops_the_pooler(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=300, max_position_embeddings=32, hidden_size=16, num_hidden_layers=2,
                        num_attention_heads=2, intermediate_size=24)  # fmt: skip
    theirs = BertModel(config).eval()
    theirs.save_pretrained(tmp_path)
    _, values = model_of(str(tmp_path))
    net = build(SETTINGS | {"config": values["config"], "input": text_input(length=32)}).eval()
    report = load(net, tmp_path / "model.safetensors")
    assert [name.partition(".")[0] for name in report.dropped] == ["pooler", "pooler"]
    batch = inputs([12, 5])
    states = theirs(input_ids=batch["ids"], attention_mask=batch["mask"].long()).last_hidden_state
    assert torch.allclose(net.backbone(**batch)[batch["mask"]], states[batch["mask"]], atol=1e-6)


def test_a_folder_that_asks_for_code_or_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "auto_map": {"AutoModel": "evil.Evil"}}))
    with pytest.raises(StoreError, match="never run"):
        model_of(str(tmp_path))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(StoreError, match="no configuration"):
        model_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        model_of(str(tmp_path))
    (tmp_path / "config.json").write_text('{"a": "${oc.env:HOME}", "b": [1, "x;y"], "c": {"d": 2, "$e": 3}, "f": null}')
    assert read_config(tmp_path) == {"b": [1], "c": {"d": 2}, "f": None}


def test_settings_that_make_no_net_are_told() -> None:
    with pytest.raises(ConfigError, match=r"model.width=15: must be a multiple of heads, 2"):
        small("gpt2", width=15)
    huge = {"model_type": "gpt2", "vocab_size": 300, "n_embd": 10**6}
    with pytest.raises(StoreError, match=r"hidden_size 1000000, allowed 1 to 32,768"):
        small("gpt2", config=huge)
    with pytest.raises(ConfigError, match="does not read plain texts"):
        small("gpt2", config={"model_type": "t5", "vocab_size": 300})
    with pytest.raises(StoreError, match=r"has 300 tokens, the weights have 200"):
        small("gpt2", config={"model_type": "gpt2", "vocab_size": 200})
    with pytest.raises(ConfigError, match=r"model.input.length=16: the net has 8 positions"):
        small("gpt2", config={"model_type": "gpt2", "vocab_size": 300, "n_positions": 8})


def test_weights_of_another_vocabulary_are_told(tmp_path: Path) -> None:
    net = small("gpt2", input=text_input(200))
    save_file({name: x.clone() for name, x in net.backbone.net.state_dict().items()}, tmp_path / "x.safetensors")  # type: ignore[union-attr]
    with pytest.raises(StoreError, match=r"wte.weight \[200,16\], expected \[300,16\]"):
        load(small("gpt2"), tmp_path / "x.safetensors")


def test_nothing_of_text_is_imported_for_pictures(tmp_path: Path) -> None:
    words = ["data=digits", "strategy=scratch", "trainer=tiny", "--runs", str(tmp_path), "-q"]
    code = f"import sys; from transfer_cli.cli.main import main; main({['run', *words]!r}); print('|', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.rpartition("|")[2].split()}
    assert "torch" in loaded
    assert loaded & {"transformers", "tokenizers", "timm", "peft", "datasets"} == set()
