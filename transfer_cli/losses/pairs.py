"""Checks shared by all distances between two sets of features."""

from torch import Tensor


def check_pair(name: str, source: Tensor, target: Tensor, rows: int = 1) -> None:
    """Raises ValueError unless both tensors are [rows or more, D] with the same D."""
    for side, x in (("source", source), ("target", target)):
        if x.ndim != 2 or len(x) < rows:
            raise ValueError(f"{name}: {side} {list(x.shape)}, expected [rows >= {rows}, features]")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"{name}: {source.shape[1]} source features, {target.shape[1]} target features")


def full(x: Tensor) -> Tensor:
    """Converts to at least single precision, because differences between features can be below bf16 precision."""
    return x if x.dtype.itemsize >= 4 else x.float()
