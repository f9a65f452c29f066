"""Texts: a character GPT trained by the engine against a plain loop on the same net, as nanoGPT writes it (goal: not
slower), and batches of texts of many lengths against a DataLoader that pads whatever comes together."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure.texts import (
    BLOCK,
    CHARACTERS,
    CLASSIFIER,
    GPT,
    LENGTH,
    VOCABULARY,
    block_feed,
    classifier,
    language,
    model,
    text_feed,
    texts,
)
from measure.turns import Pair, report, turns
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from transfer_cli.models import net as nets

GPT_TINY = model("transformers", CHARACTERS, BLOCK, name="gpt2", layers=4, heads=4, width=128)
BERT_TINY = model("transformers", VOCABULARY, LENGTH, name="bert", layers=2, heads=2, width=128)
Step = Callable[[], object]


def main() -> None:
    taken = {"character GPT, 12 x 64": race_gpt(), "BERT, 2 layers, 32 texts of 4 to 128 tokens": race_bert()}
    pairs = {name: [Pair("engine", "plain loop", most=1.0)] for name in taken}
    pairs["BERT, 2 layers, 32 texts of 4 to 128 tokens"] += [Pair("feed", "DataLoader")]
    report("texts", taken, pairs)


def race_gpt() -> dict[str, list[float]]:
    """Both from the same weights, on the same text."""
    ids = torch.randint(CHARACTERS, (1_000_000,), generator=torch.Generator().manual_seed(0))
    steps = {"engine": engine(language(built(GPT_TINY), block_feed(ids))), "plain loop": gpt_by_hand(ids)}
    return turns(steps, rounds=60, warm=5)


def built(node: dict[str, Any]) -> nets.Net:
    torch.manual_seed(0)
    return nets.build(node)


def engine(made: Any) -> Step:
    steps = itertools.count()
    return lambda: made.step(next(steps))


def gpt_by_hand(ids: Tensor) -> Step:
    """Blocks stacked one by one, AdamW, clipping, as in nanoGPT's train.py."""
    net = built(GPT_TINY)
    net.set_token_head("language", CHARACTERS)
    optimizer = torch.optim.AdamW(net.parameters(), GPT.lr, weight_decay=GPT.weight_decay, fused=True)
    mask = torch.ones(GPT.batch, BLOCK, dtype=torch.bool)

    def step() -> float:
        places = torch.randint(len(ids) - BLOCK, (GPT.batch,))
        x = torch.stack([ids[i : i + BLOCK] for i in places])
        y = torch.stack([ids[i + 1 : i + 1 + BLOCK] for i in places])
        loss = cross_entropy(net({"ids": x, "mask": mask}, "language").flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def race_bert() -> dict[str, list[float]]:
    """An epoch's worth of neighbours each round: a single batch says little, for ours are of like length."""
    rows = texts()
    loader, loader = text_feed(rows), endless(rows)
    made = engine(classifier(built(BERT_TINY), loader))
    steps = itertools.count()
    work: dict[str, Step] = {
        "engine": made,
        "plain loop": bert_by_hand(rows),
        "feed": lambda: loader[next(steps)],
        "DataLoader": lambda: next(loader),
    }
    return turns({name: many(step) for name, step in work.items()}, rounds=6, warm=1)


def many(step: Step, times: int = 32) -> Step:
    return lambda: [step() for _ in range(times)]


def endless(rows: list[list[int]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches in random order, each padded to its longest text."""
    labelled = [(torch.tensor(row), i % 2) for i, row in enumerate(rows)]
    loader = DataLoader(labelled, CLASSIFIER.batch, shuffle=True, collate_fn=padded, drop_last=True)
    while True:
        yield from loader


def padded(batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    ids = nn.utils.rnn.pad_sequence([row for row, _ in batch], batch_first=True)
    lengths = torch.tensor([len(row) for row, _ in batch])
    return ids, torch.arange(ids.shape[1]) < lengths[:, None], torch.tensor([label for _, label in batch])


def bert_by_hand(rows: list[list[int]]) -> Step:
    net = built(BERT_TINY)
    net.set_head("classify", ("negative", "positive"))
    optimizer = torch.optim.AdamW(net.parameters(), CLASSIFIER.lr, fused=True)
    batches = endless(rows)

    def step() -> float:
        ids, mask, labels = next(batches)
        loss = cross_entropy(net({"ids": ids, "mask": mask}, "classify"), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
