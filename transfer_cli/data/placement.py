"""Where rows lie: on the device once for all loaders if they leave room there, else with the host, and sent a batch
at a time without waiting for the copy."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from transfer_cli.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

GPU_SHARE = 4  # what fills more than 1 / GPU_SHARE of the free memory of a GPU stays with the host


def placed(array: np.ndarray, device: "torch.device") -> "Tensor":
    """The array where its rows are gathered: on the GPU, once for all loaders, if it leaves room for the net."""
    tensor = _tensor(array)
    if device.type == "cuda" and tensor.nbytes > torch.cuda.mem_get_info(device)[0] // GPU_SHARE:
        return tensor
    return tensor.to(device)


def sent(tensor: "Tensor", device: "torch.device") -> "Tensor":
    """The same tensor on `device`. To a GPU from pinned memory, in the order of its stream: nobody waits."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _tensor(array: np.ndarray) -> "Tensor":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # read-only memory map: it is only read
        return torch.from_numpy(array)
