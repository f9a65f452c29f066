"""A loss from gradients that a method has worked out itself: PCGrad, A-GEM, FedAvg and Reptile then need no optimiser
of their own."""

from collections.abc import Sequence

from torch import Tensor


def toward(parameters: Sequence[Tensor], slopes: Sequence[Tensor | None], value: Tensor) -> Tensor:
    """A scalar () equal to `value` whose gradient is slopes[i] at parameters[i]; None gives that parameter none. Slopes
    and value are taken as constants. Raises ValueError unless each slope has the shape of its parameter."""
    total = value.detach().clone()
    for i, (parameter, slope) in enumerate(zip(parameters, slopes, strict=True)):
        if slope is None:
            continue
        if slope.shape != parameter.shape:
            raise ValueError(f"toward: slope {i} {list(slope.shape)}, its parameter {list(parameter.shape)}")
        # zero, with a gradient: adding a large product and taking it away again would round `value`
        total = total + ((parameter - parameter.detach()) * slope.detach()).sum()
    return total
