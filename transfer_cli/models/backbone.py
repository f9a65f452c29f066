"""What every model family is: a Backbone (inputs -> features [B, D]) made for the input of one kind of row.

A family is a file of this folder with one Backbone of the file's name in CamelCase; the keyword-only
arguments of its `__init__` are the keys of its YAML. Shapes: B rows, C channels, H height, W width, T tokens,
D features."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module):
    """Inputs -> features. `reads` is the kind of row; `forward` takes that kind's inputs by name. `gives`: "row",
    features of the row, or "states", one vector a token, of which `pool` makes features of the row. `causal`: no token
    sees those after it. `extra`: the optional library it needs, as in contracts.Method. For checkpoints of
    others: the net whose names they use sits at `inner` ("" is self), `classifier` is the name of its last linear
    layer, which is no part of the backbone, and tensors whose names begin with one of `dropped` are known to be left
    out (auxiliary heads)."""

    reads: ClassVar[str] = "pictures"
    gives: ClassVar[str] = "row"
    extra: ClassVar[str] = ""
    causal: bool = False
    inner: str = ""
    classifier: str = ""
    dropped: tuple[str, ...] = ()

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    forward: Callable[..., Tensor]
    """pixels [B, C, H, W] -> features [B, D], D = `width`. Of texts: ids [B, T] int64, mask [B, T] bool (True: a token,
    False: padding) -> states [B, T, D]."""

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, D] -> features [B, D]: the mean over tokens that are no padding."""
        counted = mask[:, :, None].to(states.dtype)
        return (states * counted).sum(1) / counted.sum(1).clamp_min(1)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of somebody's checkpoint by the names that the net at `inner` has."""
        return dict(tensors)

    def language_head(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Weight [V, D] of a checkpoint's head for the next token; None where there is none."""
        return None

    def blocks(self) -> list[nn.Module]:
        """Modules from input to output; together they hold every parameter, each once."""
        raise NotImplementedError
