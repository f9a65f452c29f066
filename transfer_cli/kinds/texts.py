"""Texts: the input of models, rows on a device, and reading of new texts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from transfer_cli.data.array_cache import remember
from transfer_cli.data.contracts import Raw
from transfer_cli.data.placement import sent
from transfer_cli.data.tokenizers import Tokenizer, fitted, load
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.kinds._kind import Json, Kind, Named, unlabelled
from transfer_cli.kinds._specs import input_fault, spec_of
from transfer_cli.lazy import Lazy
from transfer_cli.ranges import Range

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from transfer_cli.contracts import DeviceDataset, Inputs
    from transfer_cli.data.dataset import DataSet, Rows
else:
    torch = Lazy("torch")

DROPPED = {"weak": 0.1, "strong": 0.3}  # share of tokens removed by augmentation (word dropout, arXiv:1602.07572 3.3)
POOL = 50  # number of batches whose rows are sorted by length together
LAYOUT = 1  # increment when the same texts would give other arrays
MOST_TOKENS = 2**20

Rng = Callable[[], np.random.Generator]


@dataclass(frozen=True, kw_only=True)
class Input:
    """Preprocessing of texts: at most `length` tokens. `tokenizer`: char and bpe are trained on the training texts of
    the source (without a source, of the target), byte needs no training, anything else is a folder of files. `size`:
    the maximal number of tokens of bpe. `digest`: the hash of the tokenizer, filled in by the plan."""

    tokenizer: str
    length: Annotated[int, Range(1)] = 128
    size: Annotated[int, Range(1)] | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """The texts that a model reads: at most `length` tokens of `tokenizer`, which has `size` different tokens; `digest`
    is the hash of the tokenizer. Raises ConfigError for invalid values."""

    tokenizer: str
    length: int
    size: int
    digest: str

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("size", self.size)):
            if not 1 <= value <= MOST_TOKENS:
                raise ConfigError(input_fault(name, value, f"allowed 1 to {MOST_TOKENS:,}"))

    def example(self, rows: int = 1) -> "dict[str, Tensor]":
        """Example inputs of a net: token 0 everywhere, no padding."""
        ids = torch.zeros(rows, self.length, dtype=torch.int64)
        return {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}


class Texts(Kind):
    """All tokens of a part are in one array; a batch is as wide as its longest text."""

    input = ("tokenizer", "length", "size", "digest")
    usual = "embedding_bag"
    noun = "texts"
    item = "text"
    one = "text"
    code = ("data/tokenizers.py",)
    field = "text"
    explained = "tokens"
    looks = "words"

    def spec(self, given: Mapping[str, Any]) -> TokenSpec:
        return spec_of(TokenSpec, given)

    def fit(self, spec: Json, target: "DataSet", source: "DataSet | None", seed: int, cache: Path) -> Json:
        """Adds the tokenizer. It is trained on the source's training texts, or, without a source, on the labelled
        training texts of the target."""
        data = source or target
        labelled = data is target

        def texts() -> list[str]:
            rows = data.rows("train", labelled=labelled, seed=seed)
            every = data.raw.parts[rows.part].read()
            return [every[row] for row in rows.index]

        content = json.dumps(data.key("train", labelled=labelled, seed=seed), sort_keys=True)
        return fitted(spec, texts, content, cache)

    def store(
        self, data: "DataSet", part: str, model: Json, cache: Path, device: "torch.device", poll: Callable[[], None]
    ) -> "Tokens":
        digest = model["input"]["digest"]
        return tokens_of(data.raw, part, load(digest, cache), digest, cache)

    def rows(self, stored: Any, data: "DataSet", rows: "Rows", model: Json, device: "torch.device") -> "DeviceDataset":
        return TextRows(stored, rows, length=int(model["input"]["length"]), policy=data.augment, device=device)

    def preprocessing(self, given: Mapping[str, Any], tokenizer: str = "") -> Json:
        return {
            "reads": self.item,
            "tokenizer": tokenizer,
            "most_tokens": int(given["length"]),
            "longer": "cut at its end",
            "padding": "on the right, with token 0 where mask is false",
        }

    def at(self, place: Path) -> list[Named]:
        """The lines of a .txt, or the column `text` of a .csv, .tsv or .jsonl."""
        from transfer_cli.data.readers.text import read_text
        from transfer_cli.data.readers.text_table import texts_of

        if not place.is_file():
            text = "a .txt with one text per line, or a table with a column text"
            raise DataError(Fault(str(place), "no such file", do=text))
        if place.suffix == ".txt":
            lines = enumerate(read_text(place, "utf-8").splitlines(), 1)
            return [(f"{place.name} row {row}", line) for row, line in lines if line.strip()]
        return [(f"{place.name} row {line.row}", line.text) for line in texts_of(place)]

    def batch(self, rows: Sequence[str], model: Json, cache: Path, device: "torch.device") -> "DeviceDataset":
        spec = model["input"]
        tokens = flat(load(spec["digest"], cache).encode(list(rows)))
        return TextRows(tokens, unlabelled(len(rows)), length=int(spec["length"]), policy="none", device=device)


def tokenizer_of(model: Json, cache: Path) -> Tokenizer | None:
    """The tokenizer of a model; None if it does not read texts. Raises StoreError if it is not in the cache."""
    spec = model["input"]
    return load(spec["digest"], cache) if "tokenizer" in spec else None


class Tokens(NamedTuple):
    """All tokens of a raw part, concatenated: `ids` int32 [total]; row i is ids[starts[i]:starts[i + 1]]."""

    ids: "Tensor"
    starts: np.ndarray


def tokens_of(raw: Raw, part: str, tokenizer: Tokenizer, digest: str, cache: Path) -> Tokens:
    """The tokens of a raw part, computed once and memory-mapped from the cache."""
    key = f"tokens {LAYOUT} {raw.fingerprint} {part} {digest}"
    encoded: list[Tokens] = []

    def tokens() -> Tokens:
        if not encoded:
            encoded.append(flat(tokenizer.encode(raw.parts[part].read())))
        return encoded[0]

    starts = remember(cache, f"{key} starts", lambda: tokens().starts)
    return Tokens(torch.from_numpy(remember(cache, f"{key} ids", lambda: tokens().ids.numpy())), np.asarray(starts))


def flat(rows: Sequence[Sequence[int]]) -> Tokens:
    """Concatenates rows of tokens."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.fromiter((token for row in rows for token in row), np.int32, int(starts[-1]))
    return Tokens(torch.from_numpy(ids), starts)


class TextRows:
    """Texts with labels. Returns {"ids": int64 [B, T], "mask": bool [B, T]}, T the longest text of the batch. Texts
    longer than `length` are truncated at the end. Policies "weak" and "strong" remove some tokens."""

    noun = "texts"
    targeted = False
    domains: "Tensor | None" = None
    chunk = 64

    def __init__(self, tokens: Tokens, rows: "Rows", *, length: int, policy: str, device: "torch.device") -> None:
        self.tokens, self.ids, self.device, self.policy, self.length = tokens, tokens.ids, device, policy, length
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
        """Groups rows of similar length: sorts the rows of POOL batches at a time by length, then shuffles the
        batches."""
        lengths, pools = self.lengths.numpy(), range(0, len(order), batch * POOL)
        by_length = [order[at : at + batch * POOL] for at in pools]
        by_length = [pool[np.argsort(lengths[pool], kind="stable")] for pool in by_length]
        batches = [pool[at : at + batch] for pool in by_length for at in range(0, len(pool), batch)]
        full = [rows for rows in batches if len(rows) == batch]
        rest = [rows for rows in batches if len(rows) < batch]
        return np.concatenate([*(full[i] for i in rng.permutation(len(full))), *rest])

    def in_order(self) -> "Tensor":
        """Sorted by length, so that batches need little padding."""
        return torch.argsort(self.lengths, stable=True)

    def gather(self, index: "Tensor", policy: str, rng: Rng) -> "tuple[Inputs, Tensor]":

        lengths, starts = self.lengths[index], self.starts[index]
        places = torch.arange(max(1, int(lengths.max())))
        mask = places < lengths[:, None]
        ids = self.ids[(starts[:, None] + places).clamp_(max=len(self.ids) - 1)].long().masked_fill_(~mask, 0)
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            ids, mask = _thinned(ids, mask, DROPPED[policy], rng())
        inputs = {"ids": sent(ids, self.device), "mask": sent(mask, self.device)}
        return inputs, self.labels.index_select(0, sent(index, self.device))


def _thinned(ids: "Tensor", mask: "Tensor", share: float, rng: np.random.Generator) -> "tuple[Tensor, Tensor]":
    """Removes a random share of the tokens of each row and closes the gaps; always keeps the first token."""
    keep = torch.from_numpy(rng.random(ids.shape) >= share) & mask
    keep[:, 0] = mask[:, 0]
    order = torch.argsort(~keep, dim=1, stable=True)
    keep = keep.gather(1, order)
    return ids.gather(1, order).masked_fill_(~keep, 0), keep
