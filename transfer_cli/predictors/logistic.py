"""Multinomial logistic regression, solved for many small problems at once."""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import pad

from transfer_cli.predictors.support import checked, one_hot
from transfer_cli.ranges import Range

NEWTON_STEPS = 50
CG_STEPS = 100
GRADIENT = 1e-8  # largest gradient entry at convergence, in units of one row's loss


class Logistic:
    """Minimises the sum of cross-entropies plus l2 / 2 * |weights|^2, without penalty on the bias: scikit-learn's
    LogisticRegression with C = 1 / l2. Solved by Newton's method with conjugate gradients (Nocedal & Wright 2006,
    algorithm 7.1), for all draws in parallel."""

    def __init__(self, *, l2: Annotated[float, Range(0, above=True)] = 1.0) -> None:
        self.l2 = l2

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """Returns the logits of the queries: [E, Q, N]."""
        support, labels, query = checked(support, labels, query, ways)
        centre = support.mean(1, keepdim=True)
        weight = solve((support - centre).double(), labels, ways, self.l2).to(query.dtype)
        return (query - centre) @ weight[:, :-1] + weight[:, -1:]


def solve(x: Tensor, labels: Tensor, ways: int, l2: float) -> Tensor:
    """Returns weights [E, D + 1, N], the bias last, for x [E, M, D] float64."""
    if x.shape[1] >= x.shape[2]:
        return newton(Problem(x, labels, ways, l2))
    # The optimal weights lie in the span of the rows; with fewer rows than features, solve in that span.
    basis, coordinates = torch.linalg.qr(x.mT)
    weight = newton(Problem(coordinates.mT, labels, ways, l2))
    return torch.cat([basis @ weight[:, :-1], weight[:, -1:]], 1)


class Problem:
    """The loss of every draw with its gradient and curvature. Weights and directions have shape [E, D + 1, N]."""

    def __init__(self, x: Tensor, labels: Tensor, ways: int, l2: float) -> None:
        self.x = pad(x, (0, 1), value=1.0)
        self.labels, self.target = labels, one_hot(labels, ways, x)
        self.l2 = torch.full((self.x.shape[2], 1), l2, dtype=x.dtype, device=x.device)
        # Adding a constant to every bias changes no probability; a small penalty keeps the Hessian positive definite.
        self.l2[-1] = 1e-9

    def start(self) -> Tensor:
        """Returns the initial weights: zeros."""
        return self.x.new_zeros(len(self.x), self.x.shape[2], self.target.shape[2])

    def loss(self, weight: Tensor) -> Tensor:
        """Returns the loss [E] of each draw."""
        logits = self.x @ weight
        fit = logits.logsumexp(2) - logits.gather(2, self.labels[:, :, None])[:, :, 0]
        return fit.sum(1) + (self.l2 * weight.square()).sum((1, 2)) / 2

    def gradient(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the gradient, and the probabilities [E, M, N] that `curve` needs."""
        p = (self.x @ weight).softmax(2)
        return self.x.mT @ (p - self.target) + self.l2 * weight, p

    def curve(self, p: Tensor, direction: Tensor) -> Tensor:
        """Returns the Hessian times `direction`."""
        slope = p * (self.x @ direction)
        return self.x.mT @ (slope - p * slope.sum(2, keepdim=True)) + self.l2 * direction


def newton(problem: Problem) -> Tensor:
    """Minimises the loss of every draw; draws that have converged are not changed any more."""
    weight = problem.start()
    for _ in range(NEWTON_STEPS):
        gradient, p = problem.gradient(weight)
        active = gradient.abs().amax((1, 2)) > GRADIENT
        if not active.any():
            break
        step = conjugate_gradients(problem, p, gradient)
        weight = weight - search(problem, weight, step, _dot(gradient, step), active) * step
    return weight


def conjugate_gradients(problem: Problem, p: Tensor, gradient: Tensor) -> Tensor:
    """Returns Hessian^-1 gradient up to a residual of at most min(0.5, sqrt|g|) |g|, so the accuracy grows as the
    gradient shrinks."""
    step, residual = torch.zeros_like(gradient), gradient
    direction, size = residual, _dot(residual, residual)
    goal = size * size.sqrt().clamp_max(0.25)
    for _ in range(CG_STEPS):
        if not (size > goal).any():
            break
        curved = problem.curve(p, direction)
        length = torch.where(size > goal, size / _dot(direction, curved).clamp_min(1e-300), 0.0)
        step, residual = step + length * direction, residual - length * curved
        before, size = size, torch.where(size > goal, _dot(residual, residual), size)
        direction = residual + size / before.clamp_min(1e-300) * direction
    return step


def search(problem: Problem, weight: Tensor, step: Tensor, slope: Tensor, active: Tensor) -> Tensor:
    """Returns step lengths [E, 1, 1]: 1, halved until the loss falls by 1e-4 of the predicted decrease; 0 for inactive
    draws."""
    length = active.to(weight.dtype)[:, None, None]
    loss = problem.loss(weight)
    for _ in range(30):
        # Near the minimum the predicted decrease is below the rounding error of the loss.
        allowed = loss - 1e-4 * (length * slope)[:, 0, 0] + 1e-12 * loss.abs()
        worse = problem.loss(weight - length * step) > allowed
        if not worse.any():
            break
        length = torch.where(worse[:, None, None], length / 2, length)
    return length


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)
