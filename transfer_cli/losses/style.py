"""Styles of pictures inside a net: mean and deviation of each channel."""

import torch
from torch import Tensor


def restyled(maps: Tensor, order: Tensor, share: Tensor) -> Tensor:
    """Maps [B, C, H, W] whose channels have mixed means and deviations: `share` [B] of their own, the rest of those of
    row `order` [B]. Zhou et al. 2021, arXiv:2104.02008, eq. 5 to 7: statistics carry no gradient. Share 1 changes
    nothing, share 0 gives the other's style."""
    with torch.autocast(maps.device.type, enabled=False):
        x = maps if maps.dtype == torch.float64 else maps.float()
        mean = x.mean((2, 3), keepdim=True).detach()
        deviation = (x.var((2, 3), keepdim=True, correction=0) + 1e-6).sqrt().detach()
        own = share.to(x).view(-1, 1, 1, 1)
        new_mean, new_deviation = (own * s + (1 - own) * s[order] for s in (mean, deviation))
        return ((x - mean) / deviation * new_deviation + new_mean).to(maps.dtype)
