"""Tagging: predicts a tag for every word of a text; the tags mark entities."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Inputs
from transfer_cli.data.placement import sent
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.task_contracts import PADDING, Task


class Tag(Task):
    """Each word has one of the tags `names`, in the IOB2 scheme. Words are separated by spaces; the tag of a word is
    predicted at its first token (Devlin et al. 2019, arXiv:1810.04805, 5.3). Head: a linear layer named "tag" on the
    states of all tokens."""

    head = "tag"
    outputs = "tags"
    code = ("heads/tokens.py",)
    offers = ("loss",)
    reads = ("texts",)
    wants = "states"
    verbs = ("predict", "serve")

    def prepare(self, net: Any) -> None:
        """Adds a head for these tags to `net`; an existing head for the same tags is kept."""
        if net.classes.get(self.head) != list(self.names):
            net.add_head(self.head, "tokens", self.names, outputs=len(self.names))

    def wrap(self, items: Any, rows: Any) -> "TaggedRows":
        texts = rows.raw.parts[rows.part].read()
        words = [texts[row].split(" ") for row in rows.index]
        return TaggedRows(items, self.context.tokenizer, words, rows.targets)

    def new_rows(self, items: Any, texts: Sequence[str]) -> "TaggedRows":
        """New texts, without tags."""
        return TaggedRows(items, self.context.tokenizer, [text.split() or [""] for text in texts], None)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, T, C] over the first tokens of words."""
        tokens = batch.target()["tokens"]
        return nn.functional.cross_entropy(
            out.float().flatten(0, 1), tokens.flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )

    def weight(self, batch: Batch) -> Tensor:
        """The number () of words in the context window."""
        counted: Tensor = (batch.target()["tokens"] != PADDING).sum().float()
        return counted


class TaggedRows(TextRows):
    """Texts with a tag for each word. Targets by name: `tokens` [B, T], the tag at the first token of each word,
    PADDING at other tokens; `places` [B, W], the position of that token, -1 for a word beyond the context window;
    `words` [B, W], the tag of every word, also beyond the window. `places` and `words` are PADDING after the last word
    of a text. Raises ConfigError for word dropout, which would separate words from their tags."""

    targeted = True

    def __init__(
        self, items: Any, tokenizer: Any, words: Sequence[Sequence[str]], tags: Sequence[np.ndarray] | None
    ) -> None:
        if items.policy != "none":
            text = "word dropout would separate words from their tags"
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
    """All rows in order, in the form that TextRows needs."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.index, self.labels = np.arange(count), np.zeros(count, np.int64)


def _first_tokens(word_ids: Sequence[int | None], count: int) -> np.ndarray:
    """The position [count] int64 of the first token of each word; -1 for a word without a token."""
    first = np.full(count, -1, np.int64)
    for place, word in enumerate(word_ids):
        if word is not None and first[word] < 0:
            first[word] = place
    return first
