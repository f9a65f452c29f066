"""Style of feature maps: mean and standard deviation of each channel."""

import torch
from torch import Tensor


def restyled(maps: Tensor, order: Tensor, share: Tensor) -> Tensor:
    """Mixes the channel means and deviations of maps [B, C, H, W]: row i keeps `share[i]` of its own statistics and
    takes the rest from row `order[i]`. Shapes: order [B], share [B]. Zhou et al. 2021, arXiv:2104.02008, eqs. 5 to 7:
    no gradient flows through the statistics. Share 1 changes nothing; share 0 gives the other row's style."""
    with torch.autocast(maps.device.type, enabled=False):
        x = maps if maps.dtype == torch.float64 else maps.float()
        mean = x.mean((2, 3), keepdim=True).detach()
        deviation = (x.var((2, 3), keepdim=True, correction=0) + 1e-6).sqrt().detach()
        own = share.to(x).view(-1, 1, 1, 1)
        new_mean, new_deviation = (own * s + (1 - own) * s[order] for s in (mean, deviation))
        return ((x - mean) / deviation * new_deviation + new_mean).to(maps.dtype)
