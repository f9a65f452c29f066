"""Two views of a row should be judged alike."""

import torch
from torch import Tensor, nn


def consistency(student: Tensor, teacher: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Squared distance () of class probabilities, mean over classes and rows, where rows that the teacher gives no
    class more than `threshold` count zero; and the share () of rows that count. French et al. 2018, arXiv:1706.05208,
    3.2 and 3.3. Scores [B, C]; no gradient reaches the teacher's."""
    wanted = teacher.detach().float().softmax(1)
    sure = (wanted.max(1).values > threshold).float()
    gap = (student.float().softmax(1) - wanted).square().mean(1)
    return (gap * sure).mean(), sure.mean()


def imbalance(scores: Tensor) -> Tensor:
    """Binary cross-entropy () of the batch's mean class probabilities against 1 / C, mean over classes: smallest where
    all classes are predicted alike. French et al. 2018, arXiv:1706.05208, 3.4. Scores [B, C]."""
    mean = scores.float().softmax(1).mean(0)
    even = torch.full_like(mean, 1 / len(mean))
    # the function refuses to work under autocast, for its sums lose digits there
    with torch.autocast(mean.device.type, enabled=False):
        return nn.functional.binary_cross_entropy(mean, even)


def confident(scores: Tensor, guesses: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy () of scores [B, C] against the likeliest class of `guesses` [B, C], where rows whose likeliest
    class has `threshold` or less count zero; and the share () of rows that count. Sohn et al. 2020, arXiv:2001.07685,
    eq. 4. No gradient reaches the guesses."""
    chance, label = guesses.detach().float().softmax(1).max(1)
    sure = (chance > threshold).float()
    each = nn.functional.cross_entropy(scores.float(), label, reduction="none")
    return (each * sure).mean(), sure.mean()
