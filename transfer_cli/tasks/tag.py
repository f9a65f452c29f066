"""Tagging: a tag for every word of a text, of which entities are made."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Inputs
from transfer_cli.data.placement import sent
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.task_contracts import Task

PADDING = -100  # a token that starts no word: cross_entropy's own mark


class Tag(Task):
    """One of the tags `names` a word, in the IOB2 scheme. Words are what spaces separate; the first token of a word
    carries its tag (Devlin et al. 2019, arXiv:1810.04805, 5.3). Head: a linear layer named "tag" on the states of all
    tokens."""

    head = "tag"
    code = ("heads/tokens.py",)
    offers = ("loss",)
    outputs = "tags"
    reads = ("texts",)
    wants = "states"
    verbs = ("predict", "serve")

    def prepare(self, net: Any) -> None:
        """Gives `net` a head for these tags; a head for just these tags stays as it is."""
        if net.classes.get(self.head) != list(self.names):
            net.add_head(self.head, "tokens", self.names, outputs=len(self.names))

    def wrap(self, items: Any, rows: Any) -> "TaggedRows":
        texts = rows.raw.parts[rows.part].read()
        words = [texts[row].split(" ") for row in rows.index]
        return TaggedRows(items, self.context.tokenizer, words, rows.targets)

    def new_rows(self, items: Any, texts: Sequence[str]) -> "TaggedRows":
        """New texts without tags."""
        return TaggedRows(items, self.context.tokenizer, [text.split() or [""] for text in texts], None)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, T, C] over the first tokens of words."""
        tokens = batch.target()["tokens"]
        return nn.functional.cross_entropy(
            out.float().flatten(0, 1), tokens.flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )

    def weight(self, batch: Batch) -> Tensor:
        counted: Tensor = (batch.target()["tokens"] != PADDING).sum().float()
        return counted


class TaggedRows(TextRows):
    """Rows of words. What is learned, by name: `tokens` [B, T], the tag at the first token of each word; `places` [B,
    W], where that token stands, -1 for a word beyond the net's window; `words` [B, W], the tag of every word, also of
    those beyond. Places without a word are PADDING in both. Word dropout would part words from their tags, so the rows
    are read as they are."""

    targeted = True

    def __init__(
        self, items: Any, tokenizer: Any, words: Sequence[Sequence[str]], tags: Sequence[np.ndarray] | None
    ) -> None:
        if items.policy != "none":
            text = "word dropout would part words from their tags"
            raise ConfigError(Fault("data.augment", text, items.policy, do="data.augment=none"))
        encoded = tokenizer.inner.encode_batch([list(row) for row in words], is_pretokenized=True)
        every: Any = _EveryRow(len(words), items.device)
        super().__init__(
            flat([row.ids for row in encoded]), every, length=items.length, policy="none", device=items.device
        )
        self.domains = items.domains
        self.first = [_first_tokens(row.word_ids, len(own)) for row, own in zip(encoded, words, strict=True)]
        self.tags = tags

    def gather(self, index: Tensor, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[Inputs, Any]:
        inputs, _ = super().gather(index, "none", rng)
        rows, width = index.tolist(), inputs["ids"].shape[1]
        longest = max(len(self.first[row]) for row in rows)
        words, places = np.full((len(rows), longest), PADDING), np.full((len(rows), longest), PADDING)
        tokens = np.full((len(rows), width), PADDING)
        for at, row in enumerate(rows):
            first = self.first[row]
            inside = (first >= 0) & (first < width)
            tags = np.zeros(len(first), np.int64) if self.tags is None else self.tags[row]
            words[at, : len(first)] = tags
            places[at, : len(first)] = np.where(inside, first, -1)
            tokens[at, first[inside]] = tags[inside]
        learned = {"tokens": tokens, "places": places, "words": words}
        return inputs, {name: sent(torch.from_numpy(x), self.device) for name, x in learned.items()}


class _EveryRow:
    """All rows, in order, as TextRows wants them."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.index, self.labels = np.arange(count), np.zeros(count, np.int64)


def _first_tokens(word_ids: Sequence[int | None], count: int) -> np.ndarray:
    """Place of the first token of each of `count` words, int64; -1 for a word without a token."""
    first = np.full(count, -1, np.int64)
    for place, word in enumerate(word_ids):
        if word is not None and first[word] < 0:
            first[word] = place
    return first
