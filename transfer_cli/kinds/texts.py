"""Texts as items: rows of tokens from one long array, padded a batch at a time; and the blocks of a language model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.data.array_cache import remember
from transfer_cli.data.contracts import Raw
from transfer_cli.data.dataset import Rows
from transfer_cli.data.placement import placed, sent
from transfer_cli.data.tokenizers import Tokenizer

DROPPED = {"weak": 0.1, "strong": 0.3}  # share of tokens left out by augmentation (word dropout, arXiv:1602.07572 3.3)
POOL = 50  # batches whose rows are sorted by length together
PADDING = -100  # a place with nothing to predict: cross_entropy's own mark
LAYOUT = 1  # raise when the same texts would give other arrays

Rng = Callable[[], np.random.Generator]


class Tokens(NamedTuple):
    """All tokens of a raw part, one row after the other: `ids` [total] int32, row i is ids[starts[i]:starts[i + 1]]."""

    ids: Tensor
    starts: np.ndarray


def tokens_of(raw: Raw, part: str, tokenizer: Tokenizer, digest: str, cache: Path) -> Tokens:
    """The tokens of a raw part, made once and mapped from the cache."""
    key = f"tokens {LAYOUT} {raw.fingerprint} {part} {digest}"
    found: list[Tokens] = []

    def made() -> Tokens:
        if not found:
            found.append(flat(tokenizer.encode(raw.parts[part].read())))
        return found[0]

    starts = remember(cache, f"{key} starts", lambda: made().starts)
    return Tokens(torch.from_numpy(remember(cache, f"{key} ids", lambda: made().ids.numpy())), np.asarray(starts))


def flat(rows: Sequence[Sequence[int]]) -> Tokens:
    """Rows of tokens one after the other."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.fromiter((token for row in rows for token in row), np.int32, int(starts[-1]))
    return Tokens(torch.from_numpy(ids), starts)


class Texts:
    """Rows of texts with a label each. Gives {"ids": int64 [B, T], "mask": bool [B, T]}, T the longest of the batch;
    what is longer than `length` is cut at its end. Policies "weak" and "strong" leave out some tokens."""

    noun = "texts"
    domains: Tensor | None = None
    chunk = 64

    def __init__(self, tokens: Tokens, rows: Rows, *, length: int, policy: str, device: torch.device) -> None:
        self.ids, self.device, self.policy = tokens.ids, device, policy
        self.home = (
            tokens.ids.device
        )  # with the host: a batch is as wide as its longest text, which only the host knows
        self.starts = torch.from_numpy(tokens.starts[:-1][rows.index])
        lengths = (tokens.starts[1:] - tokens.starts[:-1])[rows.index]
        self.cut = int((lengths > length).sum())
        self.lengths = torch.from_numpy(lengths.clip(max=length))
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)

    def __len__(self) -> int:
        return len(self.starts)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of like length together: `POOL` batches are sorted at a time, then the batches mixed again."""
        lengths, pools = self.lengths.numpy(), range(0, len(order), batch * POOL)
        by_length = [order[at : at + batch * POOL] for at in pools]
        by_length = [pool[np.argsort(lengths[pool], kind="stable")] for pool in by_length]
        batches = [pool[at : at + batch] for pool in by_length for at in range(0, len(pool), batch)]
        full = [rows for rows in batches if len(rows) == batch]
        rest = [rows for rows in batches if len(rows) < batch]
        return np.concatenate([*(full[i] for i in rng.permutation(len(full))), *rest])

    def in_order(self) -> Tensor:
        """Short rows first: padding costs as much as tokens."""
        return torch.argsort(self.lengths, stable=True)

    def gather(self, index: Tensor, policy: str, rng: Rng) -> tuple[Inputs, Tensor]:
        lengths, starts = self.lengths[index], self.starts[index]
        places = torch.arange(max(1, int(lengths.max())))
        mask = places < lengths[:, None]
        ids = self.ids[(starts[:, None] + places).clamp_(max=len(self.ids) - 1)].long().masked_fill_(~mask, 0)
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            ids, mask = _thinned(ids, mask, DROPPED[policy], rng())
        inputs = {"ids": sent(ids, self.device), "mask": sent(mask, self.device)}
        return inputs, self.labels.index_select(0, sent(index, self.device))


def _thinned(ids: Tensor, mask: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows without a random share of their tokens, the others moved up; the first token always stays."""
    keep = torch.from_numpy(rng.random(ids.shape) >= share) & mask
    keep[:, 0] = mask[:, 0]
    order = torch.argsort(~keep, dim=1, stable=True)
    keep = keep.gather(1, order)
    return ids.gather(1, order).masked_fill_(~keep, 0), keep


class Blocks:
    """Blocks of `length` tokens for a language model, out of all rows one after the other; the labels [B, T] are the
    tokens one place on. Policy "none" gives the blocks end to end, so that every token is predicted once; "weak" and
    "strong" begin each block up to `length` tokens later, as a random crop of a picture does."""

    domains: Tensor | None = None

    def __init__(self, tokens: Tokens, rows: Rows, *, length: int, policy: str, device: torch.device) -> None:
        self.device, self.policy, self.length = device, policy, length
        spans = [tokens.ids[tokens.starts[i] : tokens.starts[i + 1]] for i in rows.index]
        self.ids = placed(torch.cat(spans).long().numpy(), device)
        self.home = self.ids.device
        count = max(1, -(-(len(self.ids) - 1) // length))
        self.noun = f"blocks of {length} tokens"
        self.labels = torch.zeros(count, dtype=torch.int64, device=device)
        self.chunk = max(1, 4096 // length)
        self.places = torch.arange(length, device=self.home)
        self.cut = 0

    def __len__(self) -> int:
        return len(self.labels)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order

    def in_order(self) -> Tensor:
        return torch.arange(len(self), device=self.home)

    def gather(self, index: Tensor, policy: str, rng: Rng) -> tuple[Inputs, Tensor]:
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
