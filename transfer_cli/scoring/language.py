"""Scoring of language modelling: bits per character, which do not depend on the tokenizer."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.metrics.language import bits_half_width, language
from transfer_cli.task_contracts import PADDING, Scoring


class Language(Scoring):
    """Values per row, all [N]: `nll`, the sum over tokens in nats; `tokens` and `chars`, the numbers of predicted
    tokens and of their characters."""

    measures = {
        "bits_per_char": Measure(
            unit="bits", lower_is_better=True, label="bits a character", primary=True, watched=True, perfect=0.0
        ),
        "loss": Measure(unit="nats", lower_is_better=True, watched=True, shown=False, perfect=0.0),
        "perplexity": Measure(lower_is_better=True, perfect=1.0),
    }

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        labels = batch.target()
        counted = labels != PADDING
        nll = nn.functional.cross_entropy(out.float().transpose(1, 2), labels, ignore_index=PADDING, reduction="none")
        chars = torch.from_numpy(self.task.context.tokenizer.chars).to(labels.device)[labels.clamp_min(0)] * counted
        return {"nll": nll.sum(1), "tokens": counted.sum(1), "chars": chars.sum(1)}

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Bits per character, loss (nats per token) and perplexity."""
        return language(rows["nll"], rows["tokens"], rows["chars"])

    def better(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """The lower bits per character; ties are broken by the lower loss."""
        return -metrics["bits_per_char"], -metrics["loss"]

    def interval(self, rows: Rows, metric: str) -> tuple[float, float] | None:
        """The interval of the bits per character, a ratio of sums over rows; None for other metrics."""
        if metric != "bits_per_char":
            return None
        value, half = self.metrics(rows)[metric], bits_half_width(rows["nll"], rows["chars"])
        return value - half, value + half

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """`bits_per_char` [N, 2]: bits and characters of each row."""
        return {"bits_per_char": torch.stack([rows["nll"].double() / math.log(2), rows["chars"].double()], 1)}
