"""Metrics of entities: a predicted one is right if its type, first and last word are. Pure functions of counts.
Shapes: counts int64 [N, T, 3], of each sentence and type the right, the predicted and the gold entities; all metrics
are functions of their sum over sentences. Equal to seqeval's default mode, and so to conlleval."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transfer_cli.metrics.spans import spans

Tags = Sequence[Sequence[str]]


def entity_counts(gold: Tags, predicted: Tags, types: Sequence[str]) -> Tensor:
    """Counts int64 [N, T, 3] of N sentences, a tag a word, by `types`. IOB1, IOB2 and BIOES tags are read alike.
    ValueError for sentences of different lengths, for what is no tag, and for a type that is not in `types`."""
    if len(gold) != len(predicted):
        raise ValueError(f"metrics: {len(gold)} gold and {len(predicted)} predicted sentences")
    counts = torch.zeros(len(gold), len(types), 3, dtype=torch.int64)
    place = {kind: number for number, kind in enumerate(types)}
    for row, (right, given) in enumerate(zip(gold, predicted, strict=True)):
        if len(right) != len(given):
            raise ValueError(f"metrics: sentence {row} has {len(right)} gold and {len(given)} predicted tags")
        one, two = set(spans(right)), set(spans(given))
        if unknown := {span.type for span in one | two} - place.keys():
            raise ValueError(f"metrics: entity type {min(unknown)} is not one of {', '.join(types)}")
        for column, group in enumerate((one & two, two, one)):
            for span in group:
                counts[row, place[span.type], column] += 1
    return counts


def entities(counts: Tensor, types: Sequence[str]) -> dict[str, float]:
    """`precision`, `recall` and `f1` over all entities; `f1_macro`, `precision_macro`, `recall_macro` as means over the
    types that are gold or predicted somewhere; `f1/person`, ... of each of them. 0 where nothing counts.
    `types` are the names of the T types. ValueError on shapes that do not fit."""
    if counts.ndim != 3 or counts.shape[1:] != (len(types), 3):
        raise ValueError(f"metrics: counts {list(counts.shape)}, want [N, {len(types)}, 3]")
    by_type = counts.detach().cpu().sum(0)
    values = {name: value.item() for name, value in _three(by_type.sum(0)).items()}
    occurs = (by_type[:, 1:].sum(1) > 0).nonzero().flatten().tolist()
    each = _three(by_type[occurs])
    for name, column in each.items():
        values[f"{name}_macro"] = column.mean().item() if occurs else 0.0
        values |= {f"{name}/{types[at]}": value for at, value in zip(occurs, column.tolist(), strict=True)}
    return values


def f1_rows(counts: Tensor) -> Tensor:
    """Twice the right entities of each sentence, and its predicted plus its gold ones, float64 [N, 2]: the sum of the
    first column over the sum of the second is micro F1."""
    right, predicted, gold = counts.sum(1).unbind(1)
    return torch.stack([2 * right, predicted + gold], 1).double()


def _three(counts: Tensor) -> dict[str, Tensor]:
    """precision, recall and F1 [...] of counts [..., 3]."""
    right, predicted, gold = counts.double().unbind(-1)
    parts = {"precision": (right, predicted), "recall": (right, gold), "f1": (2 * right, predicted + gold)}
    return {name: over / under.clamp_min(1) for name, (over, under) in parts.items()}
