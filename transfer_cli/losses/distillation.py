"""Knowledge distillation: the loss for matching the predictions of a teacher net."""

from torch import Tensor, nn


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student) () of the class probabilities at temperature T, averaged over rows; >= 0, and 0 if
    both are equal. The factor T^2 keeps the size of the gradients independent of T. Hinton, Vinyals & Dean 2015,
    arXiv:1503.02531, section 2. Scores are [B, C]; no gradient reaches the teacher's scores. Raises ValueError for
    other shapes."""
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"distillation: student {list(student.shape)}, teacher {list(teacher.shape)}, expected equal shapes [B, C]"
        )
    teacher_logs = (teacher.detach().float() / temperature).log_softmax(1)
    student_logs = (student.float() / temperature).log_softmax(1)
    return temperature**2 * nn.functional.kl_div(student_logs, teacher_logs, reduction="batchmean", log_target=True)
