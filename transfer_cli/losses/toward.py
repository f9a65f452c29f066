"""A loss with given gradients: PCGrad, A-GEM, FedAvg and Reptile compute their gradients themselves and then need no
optimiser of their own."""

from collections.abc import Sequence

from torch import Tensor


def toward(parameters: Sequence[Tensor], slopes: Sequence[Tensor | None], value: Tensor) -> Tensor:
    """Returns a scalar () equal to `value` whose gradient with respect to parameters[i] is slopes[i]; with None that
    parameter gets no gradient. Slopes and value are treated as constants. Raises ValueError unless each slope has the
    shape of its parameter."""
    total = value.detach().clone()
    for i, (parameter, slope) in enumerate(zip(parameters, slopes, strict=True)):
        if slope is None:
            continue
        if slope.shape != parameter.shape:
            raise ValueError(f"toward: slope {i} {list(slope.shape)}, its parameter {list(parameter.shape)}")
        # This term is exactly zero and has the gradient; subtracting a large product again would round `value`.
        total = total + ((parameter - parameter.detach()) * slope.detach()).sum()
    return total
