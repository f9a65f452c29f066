"""Learning the answers of another net."""

from torch import Tensor, nn


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student) () of class probabilities at temperature T, mean over rows; >= 0, and 0 where both
    agree. T^2 keeps gradients of the same size whatever T is. Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2.
    Scores [B, C]; no gradient reaches the teacher's. Raises ValueError on other shapes."""
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(f"distillation: student {list(student.shape)}, teacher {list(teacher.shape)}, want one [B, C]")
    wanted = (teacher.detach().float() / temperature).log_softmax(1)
    given = (student.float() / temperature).log_softmax(1)
    return temperature**2 * nn.functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
