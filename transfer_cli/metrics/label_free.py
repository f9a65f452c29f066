"""Validators: estimates of a net's quality on the target without target labels; larger is better. How reliable each of
them is has to be measured (Musgrave et al. 2022, arXiv:2208.07360); the benchmark compares them with the target
labels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transfer_cli.losses.certainty import entropies
from transfer_cli.losses.certainty import information as mutual_information
from transfer_cli.losses.mmd import mk_mmd
from transfer_cli.metrics.domains import source_probability

MAX_ROWS = 1000  # compare at most the first 1,000 rows of a side; the order of a part is random


@dataclass(frozen=True)
class Judged:
    """A net's outputs on validation rows: features [M, D] and scores [M, C] of the target; features [N, D], scores [N,
    C] and labels [N] of the source, or None if the method does not use the source."""

    target: Tensor
    target_scores: Tensor
    source: Tensor | None = None
    source_scores: Tensor | None = None
    labels: Tensor | None = None

    def known(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns features, scores and labels of the source."""
        assert self.source is not None
        assert self.source_scores is not None
        assert self.labels is not None
        return self.source, self.source_scores, self.labels


def entropy(outputs: Judged) -> float:
    """Minus the mean entropy of the target predictions, in nats. Morerio et al. 2018, arXiv:1711.10288."""
    return -float(entropies(outputs.target_scores).mean())


def information(outputs: Judged) -> float:
    """Entropy of the mean prediction minus the mean entropy, in nats; large for certain and diverse predictions.
    Musgrave et al. 2021, arXiv:2111.15672."""
    return float(mutual_information(outputs.target_scores))


def bnm(outputs: Judged) -> float:
    """Nuclear norm of the predictions [M, C] / sqrt(M). Cui et al. 2020, arXiv:2003.12237; used as a validator by
    Musgrave et al. 2022, arXiv:2208.07360."""
    probabilities = outputs.target_scores.double().softmax(1)
    return (
        float(torch.linalg.eigvalsh(probabilities.T @ probabilities).clamp_min(0).sqrt().sum())
        / len(probabilities) ** 0.5
    )


def snd(outputs: Judged, temperature: float = 0.05) -> float:
    """Soft neighbourhood density: mean entropy of the distribution over neighbours with similar predictions. Saito et
    al. 2021, arXiv:2108.10860, eqs. 1 to 3. It is misleadingly high if all rows get the same class."""
    probabilities = nn.functional.normalize(outputs.target_scores[:MAX_ROWS].softmax(1), dim=1)
    similarity = probabilities @ probabilities.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    logs = similarity.log_softmax(1).fill_diagonal_(0.0)
    share = logs.exp().fill_diagonal_(0.0)
    return -float((share * logs).sum(1).mean())


def dev(outputs: Judged) -> float:
    """Minus the deep embedded validation risk: source losses weighted by how target-like each row is, with a control
    variate. You et al. 2019, ICML (PMLR 97:7124), algorithm 1."""
    features, scores, labels = outputs.known()
    losses = nn.functional.cross_entropy(scores, labels, reduction="none").double()
    of_source = source_probability(features, outputs.target, features).double().clamp(1e-6, 1 - 1e-6)
    weights = (1 - of_source) / of_source * len(features) / len(outputs.target)
    weighted = weights * losses
    spread = weights.var(correction=1)
    slope = torch.cov(torch.stack([weighted, weights]))[0, 1] / spread if spread > 0 else torch.zeros(())
    return -float(weighted.mean() - slope * (weights.mean() - 1))


def knn(outputs: Judged) -> float:
    """Share of target rows whose prediction equals the label of the nearest source row by cosine."""
    features, _, labels = outputs.known()
    source = nn.functional.normalize(features, dim=1)
    target = nn.functional.normalize(outputs.target[:MAX_ROWS], dim=1)
    neighbour_labels = labels[(target @ source.T).argmax(1)]
    return float((outputs.target_scores[:MAX_ROWS].argmax(1) == neighbour_labels).double().mean())


def mmd(outputs: Judged) -> float:
    """Minus MMD^2 of the features with five kernels. Long et al. 2015, arXiv:1502.02791."""
    return -float(mk_mmd(outputs.known()[0][:MAX_ROWS], outputs.target[:MAX_ROWS]))


VALIDATORS: dict[str, Callable[[Judged], float]] = {
    check.__name__: check for check in (entropy, information, bnm, snd, dev, knn, mmd)
}
