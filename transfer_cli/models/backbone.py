"""What every model family is: a Backbone (inputs -> features [B, D]) made for one input spec: pictures, texts, vectors.

A family is a file of this folder with one Backbone of the file's name in CamelCase; the keyword-only
arguments of its `__init__` are the keys of its YAML. Shapes: B rows, C channels, H height, W width, T tokens,
D features."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault

MOST_PIXELS = 4096
INTERPOLATIONS = ("bilinear", "bicubic")
MOST_CHANNELS = 64
MOST_TOKENS = 2**20
MOST_WIDTH = 2**20


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The pictures a model eats: shorter side scaled to `size` by `interpolation`, centre cut to `crop` x `crop`,
    `channels` values a pixel in [0, 1], then (x - mean) / std. Raises ConfigError when these cannot be."""

    channels: int
    size: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ConfigError(*faults)

    def _faults(self) -> Iterator[Fault]:
        for name, value, most in (("channels", self.channels, MOST_CHANNELS), ("size", self.size, MOST_PIXELS)):
            if not 1 <= value <= most:
                yield _fault(name, value, f"allowed 1 to {most}")
        if not 1 <= self.crop <= self.size:
            yield _fault("crop", self.crop, f"allowed 1 to size, {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                yield _fault(name, list(values), f"wants one number a channel, {self.channels}")
        if self.interpolation not in INTERPOLATIONS:
            yield _fault("interpolation", self.interpolation, f"one of {', '.join(INTERPOLATIONS)}")
        if any(value <= 0 for value in self.std):
            yield _fault("std", list(self.std), "numbers > 0 only")

    def at_least(self, crop: int, who: str) -> None:
        """Raises ConfigError when the pictures are smaller than `who` can take."""
        if self.crop < crop:
            raise ConfigError(_fault("crop", self.crop, f"{who} needs {crop} pixels or more"))

    def blank(self, rows: int = 1, device: str = "cpu") -> Tensor:
        """Zeros [rows, C, crop, crop]."""
        return torch.zeros(rows, self.channels, self.crop, self.crop, device=device)

    def example(self, rows: int = 1) -> dict[str, Tensor]:
        """Inputs of a net, all zeros."""
        return {"pixels": self.blank(rows)}


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """The texts a model eats: at most `length` tokens of `tokenizer`, which knows `size` of them; `digest` is the
    content of the tokenizer. Raises ConfigError when these cannot be."""

    tokenizer: str
    length: int
    size: int
    digest: str

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("size", self.size)):
            if not 1 <= value <= MOST_TOKENS:
                raise ConfigError(_fault(name, value, f"allowed 1 to {MOST_TOKENS:,}"))

    def example(self, rows: int = 1) -> dict[str, Tensor]:
        """Inputs of a net: token 0 everywhere, nothing masked."""
        ids = torch.zeros(rows, self.length, dtype=torch.int64)
        return {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}


@dataclass(frozen=True, kw_only=True)
class VectorSpec:
    """The vectors a model eats: `width` numbers a row. Raises ConfigError when there are none."""

    width: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MOST_WIDTH:
            raise ConfigError(_fault("width", self.width, f"allowed 1 to {MOST_WIDTH:,}"))

    def example(self, rows: int = 1) -> dict[str, Tensor]:
        """Inputs of a net, all zeros."""
        return {"vectors": torch.zeros(rows, self.width)}


Spec = InputSpec | TokenSpec | VectorSpec


def input_spec(node: Mapping[str, Any]) -> Spec:
    """The `input` of a model node: of pictures, of texts where it names a tokenizer, of vectors where it is a width.
    Raises ConfigError for missing or unknown keys."""
    given = node.get("input")
    given = given if isinstance(given, Mapping) else {}
    kind: type[Spec] = TokenSpec if "tokenizer" in given else VectorSpec if "width" in given else InputSpec
    wanted = [name for name, field in kind.__dataclass_fields__.items() if field.default is MISSING]
    if not set(wanted) <= given.keys() <= kind.__dataclass_fields__.keys():
        raise ConfigError(Fault("model.input", f"wants {', '.join(wanted)}"))
    try:
        return kind(**{name: _typed(value) for name, value in given.items()})
    except (TypeError, ValueError):
        raise ConfigError(Fault("model.input", "wants whole numbers and lists of numbers", str(dict(given)))) from None


def _typed(value: Any) -> Any:
    """Lists of numbers as tuples of float, names as they are, all else whole numbers."""
    if isinstance(value, str):
        return value
    return tuple(map(float, value)) if isinstance(value, list | tuple) else int(value)


def _fault(name: str, value: Any, text: str) -> Fault:
    return Fault(f"model.input.{name}", text, str(value))


class Backbone(nn.Module):
    """Inputs -> features. `reads` says what: "pictures" (`forward(pixels)`), "vectors" (`forward(vectors)`), or
    "texts": `forward(ids, mask)` gives states [B, T, D], `pool` one row of features of them, and `causal` says that no
    token sees those after it. `extra`: the optional library it needs, as in contracts.Method. For checkpoints of
    others: the net whose names they use sits at `inner` ("" is self), `classifier` is the name of its last linear
    layer, which is no part of the backbone, and tensors whose names begin with one of `dropped` are known to be left
    out (auxiliary heads)."""

    reads: ClassVar[str] = "pictures"
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
