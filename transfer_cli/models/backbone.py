"""The base class of every model family: a Backbone maps the inputs of one kind of row to features [B, D].

A family is one file of this folder. The file holds one Backbone, named like the file in CamelCase; the keyword-only
arguments of its `__init__` are the keys of its YAML. Shapes: B rows, C channels, H height, W width, T tokens, D
features."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module):
    """Maps inputs to features.

    `reads`: the kind of row it reads; `forward` takes the inputs of that kind by name. `gives`: "row" for one feature
    vector a row, or "states" for one vector a token, which `pool` reduces to one feature vector a row. `causal`: a
    token does not see the tokens after it. `extra`: the optional library that it needs, as in contracts.Method.

    For checkpoints from other libraries: `inner` is the path of the submodule that uses the checkpoint's names ("" is
    the backbone itself); `classifier` is the name of its last linear layer, which is not part of the backbone; tensors
    whose names start with an entry of `dropped` (auxiliary heads) are left out without a warning."""

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
    """Images: pixels [B, C, H, W] -> features [B, D], D = `width`. Token sequences: ids [B, T] int64 and mask [B, T]
    bool (True: token, False: padding) -> states [B, T, D]."""

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Averages states [B, T, D] over the tokens that are not padding. Returns features [B, D]."""
        token_weight = mask[:, :, None].to(states.dtype)
        return (states * token_weight).sum(1) / token_weight.sum(1).clamp_min(1)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames the tensors of a checkpoint from another library to the names used by the submodule `inner`."""
        return dict(tensors)

    def language_head(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Returns the weight [V, D] of a checkpoint's next-token head, or None if it has no such head."""
        return None

    def blocks(self) -> list[nn.Module]:
        """Returns the modules in order from input to output. Together they hold every parameter exactly once."""
        raise NotImplementedError
