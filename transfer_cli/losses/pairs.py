"""What every distance between two clouds of features asks of them."""

from torch import Tensor


def check_pair(name: str, source: Tensor, target: Tensor, rows: int = 1) -> None:
    """Raises ValueError unless both are [rows or more, D] with one D."""
    for side, x in (("source", source), ("target", target)):
        if x.ndim != 2 or len(x) < rows:
            raise ValueError(f"{name}: {side} {list(x.shape)}, wants [rows >= {rows}, features]")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"{name}: {source.shape[1]} source features, {target.shape[1]} of target")


def full(x: Tensor) -> Tensor:
    """At least single precision: differences of clouds are smaller than bf16 can tell."""
    return x if x.dtype.itemsize >= 4 else x.float()
