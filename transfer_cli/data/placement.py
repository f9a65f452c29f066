"""Placement of rows in memory: on the device, shared by all loaders, if there is enough room; otherwise in host memory,
from which each batch is copied asynchronously."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from transfer_cli.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

GPU_SHARE = 4  # data larger than 1 / GPU_SHARE of the free GPU memory stay in host memory


def placed(array: np.ndarray, device: "torch.device") -> "Tensor":
    """The array as a tensor on `device`, or in host memory if it would leave too little GPU memory for the net."""
    tensor = _tensor(array)
    if device.type == "cuda" and tensor.nbytes > torch.cuda.mem_get_info(device)[0] // GPU_SHARE:
        return tensor
    return tensor.to(device)


def sent(tensor: "Tensor", device: "torch.device") -> "Tensor":
    """The same tensor on `device`. Copies to a GPU are asynchronous: from pinned memory, in stream order."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _tensor(array: np.ndarray) -> "Tensor":
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # the array may be a read-only memory map; the tensor is never written
        return torch.from_numpy(array)
