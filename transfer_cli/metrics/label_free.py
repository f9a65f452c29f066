"""Validators: how good a net is on the target, guessed without target labels. Larger is better. What each is worth is
an empirical matter (Musgrave et al. 2022, arXiv:2208.07360): they are held against the oracle in the benchmark."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transfer_cli.losses.certainty import entropies
from transfer_cli.losses.certainty import information as mutual_information
from transfer_cli.losses.mmd import mk_mmd
from transfer_cli.metrics.domains import source_probability

MOST = 1000  # rows of a side that are compared with each other, the first of the part; a part's order is random


@dataclass(frozen=True)
class Judged:
    """What a net makes of validation rows: features [N, D], scores [N, C], labels [N] of the source (None: the method
    sees no source), features [M, D] and scores [M, C] of the target."""

    target: Tensor
    target_scores: Tensor
    source: Tensor | None = None
    source_scores: Tensor | None = None
    labels: Tensor | None = None

    def known(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, scores, labels of the source."""
        assert self.source is not None
        assert self.source_scores is not None
        assert self.labels is not None
        return self.source, self.source_scores, self.labels


def entropy(seen: Judged) -> float:
    """- mean entropy of target predictions, in nats. Morerio et al. 2018, arXiv:1711.10288."""
    return -float(entropies(seen.target_scores).mean())


def information(seen: Judged) -> float:
    """Entropy of the mean prediction - mean entropy: sure and diverse. Musgrave et al. 2021, arXiv:2111.15672."""
    return float(mutual_information(seen.target_scores))


def bnm(seen: Judged) -> float:
    """Nuclear norm of the predictions [M, C] / sqrt(M). Cui et al. 2020, arXiv:2003.12237; as a validator Musgrave et
    al. 2022, arXiv:2208.07360."""
    likely = seen.target_scores.double().softmax(1)
    return float(torch.linalg.eigvalsh(likely.T @ likely).clamp_min(0).sqrt().sum()) / len(likely) ** 0.5


def snd(seen: Judged, temperature: float = 0.05) -> float:
    """Soft neighbourhood density: mean entropy of the distribution over neighbours of like prediction. Saito et al.
    2021, arXiv:2108.10860, eqs. 1 to 3. Fools itself where all rows get one class."""
    likely = nn.functional.normalize(seen.target_scores[:MOST].softmax(1), dim=1)
    alike = likely @ likely.T / temperature
    alike.fill_diagonal_(-torch.inf)
    logs = alike.log_softmax(1).fill_diagonal_(0.0)
    share = logs.exp().fill_diagonal_(0.0)
    return -float((share * logs).sum(1).mean())


def dev(seen: Judged) -> float:
    """- deep embedded validation risk: source losses weighted by how target-like a row is, with a control variate.
    You et al. 2019, ICML (PMLR 97:7124), algorithm 1."""
    features, scores, labels = seen.known()
    losses = nn.functional.cross_entropy(scores, labels, reduction="none").double()
    of_source = source_probability(features, seen.target, features).double().clamp(1e-6, 1 - 1e-6)
    weights = (1 - of_source) / of_source * len(features) / len(seen.target)
    weighted = weights * losses
    spread = weights.var(correction=1)
    slope = torch.cov(torch.stack([weighted, weights]))[0, 1] / spread if spread > 0 else torch.zeros(())
    return -float(weighted.mean() - slope * (weights.mean() - 1))


def knn(seen: Judged) -> float:
    """Share of target rows whose prediction is the label of the source row nearest by cosine."""
    features, _, labels = seen.known()
    near = nn.functional.normalize(features, dim=1)
    far = nn.functional.normalize(seen.target[:MOST], dim=1)
    guessed = labels[(far @ near.T).argmax(1)]
    return float((seen.target_scores[:MOST].argmax(1) == guessed).double().mean())


def mmd(seen: Judged) -> float:
    """- MMD^2 of features, five kernels. Long et al. 2015, arXiv:1502.02791."""
    return -float(mk_mmd(seen.known()[0][:MOST], seen.target[:MOST]))


VALIDATORS: dict[str, Callable[[Judged], float]] = {
    check.__name__: check for check in (entropy, information, bnm, snd, dev, knn, mmd)
}
