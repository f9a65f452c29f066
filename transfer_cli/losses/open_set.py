"""The loss at the decision boundary between the known classes and the unknown class."""

from torch import Tensor


def boundary(scores: Tensor, threshold: float = 0.5) -> Tensor:
    """Mean binary cross-entropy () between the probability p of the last class and `threshold` t: -t log p - (1 - t)
    log(1 - p). Saito et al. 2018, arXiv:1804.10427, eq. 3. The last column of the scores [B, C] is the unknown
    class."""
    logs = scores.float().log_softmax(1)
    unknown, known = logs[:, -1], logs[:, :-1].logsumexp(1)
    return -(threshold * unknown + (1 - threshold) * known).mean()
