"""Tasks: what labels mean. Head, loss and metrics; no state."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Task
from transfer_cli.data.dataset import UNKNOWN, DataSet
from transfer_cli.data.readers.text import wants_causal
from transfer_cli.data.tokenizers import Tokenizer
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.metrics.classification import classification, half_width, open_set
from transfer_cli.metrics.language import bits_half_width, language

NEW_HEAD = "strategy=linear_probe or fine_tune gives it a new head"
Rows = dict[str, Tensor]


def task_of(data: DataSet, tokenizer: Tokenizer | None) -> Task:
    """What there is to learn from a data set; `tokenizer` is the model's, where it reads texts."""
    if data.raw.task == "language":
        assert tokenizer is not None, "checked by the plan: the model reads texts"
        return Language(tokenizer)
    return Classification(data.names)


class Classification:
    """One of `classes` a row. Head: a linear layer named "classify"."""

    head = "classify"
    primary = "accuracy"
    lower = False
    watched: tuple[str, ...] = ("accuracy", "nll")

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def prepare(self, net: Any) -> None:
        """Gives `net` a head for these classes; rows of classes it already knows by name are kept."""
        net.set_head(self.head, self.classes)

    def settle(self, net: Any, title: str) -> None:
        """Makes sure the net's head speaks of these classes: one whose outputs have no names (someone's weights) takes
        them, if it has as many. Raises DataError for other classes; `title` is what has them."""
        known, outputs = net.classes[self.head], net.heads[self.head].out_features
        if known is None and outputs == len(self.classes):
            net.name_classes(self.head, self.classes)
        elif known is None:
            text = f"the net's head has {outputs} outputs, {title} {len(self.classes)} classes"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))
        elif tuple(known) != self.classes:
            shared = len(set(known) & set(self.classes))
            text = f"the net knows {len(known)} classes, {title} has {len(self.classes)}, {shared} shared"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, C] against integer labels [B]."""
        return nn.functional.cross_entropy(out.float(), batch.target(), label_smoothing=smoothing)

    def weight(self, batch: Batch) -> float:
        return float(len(batch))

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        return {"scores": out.float(), "labels": batch.target()}

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics of scores [N, C] against labels [N]; those of one class are named `f1/<class>`."""
        found = classification(rows["scores"], rows["labels"])
        if self.classes[-1] == UNKNOWN:
            found |= open_set(rows["scores"], rows["labels"])
        return {_renamed(name, self.classes): value for name, value in found.items()}

    def better(self, metrics: dict[str, float]) -> tuple[float, float]:
        return metrics["accuracy"], -metrics["nll"]

    def half_width(self, rows: Rows, metrics: dict[str, float]) -> float:
        return half_width(metrics["accuracy"], len(rows["labels"]))


def _renamed(name: str, classes: Sequence[str]) -> str:
    metric, slash, number = name.partition("/")
    return f"{metric}/{classes[int(number)]}" if slash else metric


class Language:
    """The next token at every place of a text. Head: a linear layer named "language" on the states of all tokens."""

    head = "language"
    primary = "bits_per_char"
    lower = True
    watched: tuple[str, ...] = ("bits_per_char", "loss")
    PADDING = -100

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size = tokenizer.size
        self.chars = torch.from_numpy(tokenizer.chars)  # how many characters each token stands for

    def prepare(self, net: Any) -> None:
        """Gives `net` a head of all tokens. Raises ConfigError for a net that sees what it should predict."""
        if not net.backbone.causal:
            raise ConfigError(wants_causal(net.recipe.get("name")))
        net.set_token_head(self.head, self.size)

    def settle(self, net: Any, title: str) -> None:
        self.prepare(net)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, T, V] against the next tokens [B, T]; padding does not count."""
        return nn.functional.cross_entropy(
            out.float().flatten(0, 1), batch.target().flatten(), ignore_index=self.PADDING, label_smoothing=smoothing
        )

    def weight(self, batch: Batch) -> Tensor:
        return (batch.target() != self.PADDING).sum().float()

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        """Of each row: `nll` in nats, `tokens` and `chars` predicted, all [B]."""
        labels = batch.target()
        counted = labels != self.PADDING
        nll = nn.functional.cross_entropy(
            out.float().transpose(1, 2), labels, ignore_index=self.PADDING, reduction="none"
        )
        chars = self.chars.to(labels.device)[labels.clamp_min(0)] * counted
        return {"nll": nll.sum(1), "tokens": counted.sum(1), "chars": chars.sum(1)}

    def metrics(self, rows: Rows) -> dict[str, float]:
        return language(rows["nll"], rows["tokens"], rows["chars"])

    def better(self, metrics: dict[str, float]) -> tuple[float, float]:
        return -metrics["bits_per_char"], -metrics["loss"]

    def half_width(self, rows: Rows, metrics: dict[str, float]) -> float:
        return bits_half_width(rows["nll"], rows["chars"])
