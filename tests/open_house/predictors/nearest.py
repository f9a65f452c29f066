"""The nearest row."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Nearest:
    """Minus the distance to the nearest row of a class, to the power of `power`."""

    def __init__(self, *, power: int = 2) -> None:
        self.power = power

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        far = torch.cdist(query, support)
        own = one_hot(labels, ways).bool()[:, None]
        return -(far[..., None].where(own, torch.inf).amin(2) ** self.power)
