"""The boundary between known classes and the unknown."""

from torch import Tensor


def boundary(scores: Tensor, threshold: float = 0.5) -> Tensor:
    """Mean binary cross-entropy () of the chance of the last class against `threshold`: -t log p - (1 - t) log(1 - p).
    Saito et al. 2018, arXiv:1804.10427, eq. 3. Scores [B, C], the last class is the unknown."""
    logs = scores.float().log_softmax(1)
    unknown, known = logs[:, -1], logs[:, :-1].logsumexp(1)
    return -(threshold * unknown + (1 - threshold) * known).mean()
