"""Language modelling: predicts the next token at every position of a text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Inputs
from transfer_cli.data.placement import placed, sent
from transfer_cli.data.readers.text import wants_causal
from transfer_cli.errors import ConfigError
from transfer_cli.task_contracts import PADDING, Task


class Language(Task):
    """The next token of a text. Head: a linear layer named "language" on the states of all tokens."""

    head = "language"
    code = ("heads/tokens.py",)
    offers = ("loss",)
    reads = ("texts",)
    wants = "states"
    labels = "free"
    verbs = ()

    def prepare(self, net: Any) -> None:
        """Adds a head for all tokens to `net`; an existing head with at least as many outputs is kept. Raises
        ConfigError for a net that reads later tokens, which it should predict."""
        if not net.backbone.causal:
            raise ConfigError(wants_causal(net.recipe.get("name")))
        size = self.context.tokenizer.size
        if self.head not in net.heads or net.head(self.head).out_features < size:
            net.add_head(self.head, "tokens", outputs=size)

    def wrap(self, items: Any, rows: Any) -> "Blocks":
        return Blocks(items, rows)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, T, V] against the next tokens [B, T], without padding."""
        return nn.functional.cross_entropy(
            out.float().flatten(0, 1), batch.target().flatten(), ignore_index=PADDING, label_smoothing=smoothing
        )

    def weight(self, batch: Batch) -> Tensor:
        """The number () of predicted tokens."""
        counted: Tensor = (batch.target() != PADDING).sum().float()
        return counted


class Blocks:
    """Blocks of tokens, as long as the context window, from the concatenation of all rows. The targets [B, T] are the
    tokens at the next position. With policy "none" the blocks do not overlap, so every token is predicted once; with
    "weak" and "strong" each block starts up to one window later, at random, like a random crop of a picture."""

    targeted = True
    domains: Tensor | None = None
    cut = 0

    def __init__(self, texts: Any, rows: Any) -> None:
        tokens = texts.tokens
        self.device, self.policy, self.length = texts.device, texts.policy, texts.length
        spans = [tokens.ids[tokens.starts[i] : tokens.starts[i + 1]] for i in rows.index]
        self.ids = placed(torch.cat(spans).long().numpy(), self.device)
        self.home = self.ids.device
        count = max(1, -(-(len(self.ids) - 1) // self.length))
        self.noun = f"blocks of {self.length} tokens"
        self.labels = torch.zeros(count, dtype=torch.int64, device=self.device)
        self.chunk = max(1, 4096 // self.length)
        self.places = torch.arange(self.length, device=self.home)

    def __len__(self) -> int:
        return len(self.labels)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order

    def in_order(self) -> Tensor:
        return torch.arange(len(self), device=self.home)

    def gather(self, index: Tensor, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[Inputs, Tensor]:
        starts = index * self.length
        last = len(self.ids) - 1
        if (self.policy if policy == "train" else policy) != "none" and last > self.length:
            shift = sent(torch.from_numpy(rng().integers(0, self.length, len(index))), self.home)
            starts = (starts + shift) % (last - self.length + 1)
        places = starts[:, None] + self.places
        mask = places < last
        ids = self.ids[places.clamp(max=last)]
        labels = self.ids[(places + 1).clamp(max=last)].masked_fill(~mask, PADDING)
        inputs = {"ids": sent(ids, self.device), "mask": sent(mask, self.device)}
        return inputs, sent(labels, self.device)
