"""Losses that ask a net for the same prediction on two views of a row."""

import torch
from torch import Tensor, nn


def consistency(student: Tensor, teacher: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Squared distance () between the class probabilities of student and teacher, averaged over classes and rows. Rows
    where the teacher's largest probability is not above `threshold` count as zero. Also returns the share () of rows
    that count. French et al. 2018, arXiv:1706.05208, sections 3.2 and 3.3. Scores are [B, C]; no gradient reaches the
    teacher's scores."""
    teacher_probabilities = teacher.detach().float().softmax(1)
    counted = (teacher_probabilities.max(1).values > threshold).float()
    distance = (student.float().softmax(1) - teacher_probabilities).square().mean(1)
    return (distance * counted).mean(), counted.mean()


def imbalance(scores: Tensor) -> Tensor:
    """Binary cross-entropy () between the mean class probabilities of a batch and 1 / C, averaged over classes. It is
    smallest if all classes are predicted equally often. French et al. 2018, arXiv:1706.05208, section 3.4. Scores are
    [B, C]."""
    mean = scores.float().softmax(1).mean(0)
    uniform = torch.full_like(mean, 1 / len(mean))
    # binary_cross_entropy raises an error under autocast because its sums would lose precision.
    with torch.autocast(mean.device.type, enabled=False):
        return nn.functional.binary_cross_entropy(mean, uniform)


def confident(scores: Tensor, guesses: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy () of scores [B, C] against the pseudo-labels argmax(guesses [B, C]). Rows where the largest
    probability of `guesses` is not above `threshold` count as zero. Also returns the share () of rows that count. Sohn
    et al. 2020, arXiv:2001.07685, eq. 4. No gradient reaches `guesses`."""
    probability, label = guesses.detach().float().softmax(1).max(1)
    counted = (probability > threshold).float()
    losses = nn.functional.cross_entropy(scores.float(), label, reduction="none")
    return (losses * counted).mean(), counted.mean()
