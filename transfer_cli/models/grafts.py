"""Small trainable parts on the linear and convolution layers of any net: LoRA and adapters.

A grafted layer is the same module with a class derived from its own: its tensors keep their names, the graft's stand
beside them (`lora_down`, `adapter_up` ...), and whoever holds the module holds the grafted one. Fresh grafts change no
output. Shapes: O outputs, I inputs of one output (of a convolution: channels of a group times kernel), r rank,
m bottleneck."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault

Entry = dict[str, Any]  # {"kind", "layers": names below the backbone, and the kind's settings}
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MOST = 65536


class Graft(nn.Module):
    """What is put in front of a layer's class. `settings` are its keys and their types; `own` its tensors."""

    settings: ClassVar[dict[str, type]] = {}
    own: ClassVar[tuple[str, ...]] = ()

    def grow(self, *args: Any, **settings: Any) -> None:
        """Makes the tensors of the graft, like the layer's in device and type."""
        raise NotImplementedError


class Lora(Graft):
    """The weight plus a matrix of rank r: W + alpha / r * up [O, r] @ down [r, I]. Hu et al. 2021, arXiv:2106.09685,
    eq. 3: `down` (A) from Kaiming's distribution, `up` (B) zero. For a convolution without groups that is a k x k
    convolution to r channels and a 1 x 1 convolution up; groups share `down`. The sum is made of weights, not of
    outputs: whoever reads the layer's weight gets it, and folding it in is exact.
    A rank above that of the weight itself is cut to it."""

    settings: ClassVar[dict[str, type]] = {"rank": int, "alpha": float}
    own: ClassVar[tuple[str, ...]] = ("lora_down", "lora_up")
    lora_down: nn.Parameter
    lora_up: nn.Parameter
    lora_scale: float

    def grow(self, *, rank: int, alpha: float) -> None:
        base = _weight(self)
        outputs, inputs = _matrix(self, base).shape
        self.lora_scale, r = alpha / rank, min(rank, outputs, inputs)
        self.lora_down = nn.Parameter(_kaiming(base.new_empty(r, inputs)))
        self.lora_up = nn.Parameter(base.new_zeros(outputs, r))

    @property
    def weight(self) -> Tensor:
        base = _weight(self)
        delta = self.lora_scale * (self.lora_up @ self.lora_down)
        return base + (delta.T if _is_turned(self) else delta.view(base.shape))

    def fold(self) -> None:
        """The sum becomes the weight; the graft's tensors go."""
        with torch.no_grad():
            _weight(self).copy_(self.weight)
        for name in Lora.own:
            del self._parameters[name]
        del self.lora_scale


class Adapter(Graft):
    """A bottleneck beside the identity behind the layer: y + up(relu(down(y))), over the channels of y; `up` begins
    at zero. Houlsby et al. 2019, arXiv:1902.00751, section 2.1; for convolutions 1 x 1, as in Rebuffi et al. 2017,
    arXiv:1705.08045, section 3.2."""

    settings: ClassVar[dict[str, type]] = {"bottleneck": int}
    own: ClassVar[tuple[str, ...]] = ("adapter_down", "adapter_down_bias", "adapter_up", "adapter_up_bias")
    adapter_down: nn.Parameter
    adapter_down_bias: nn.Parameter
    adapter_up: nn.Parameter
    adapter_up_bias: nn.Parameter

    def grow(self, *, bottleneck: int) -> None:
        base = _weight(self)
        channels = _matrix(self, _weight(self)).shape[0]
        self.adapter_down = nn.Parameter(_kaiming(base.new_empty(bottleneck, channels)))
        self.adapter_down_bias = nn.Parameter(base.new_zeros(bottleneck))
        self.adapter_up = nn.Parameter(base.new_zeros(channels, bottleneck))
        self.adapter_up_bias = nn.Parameter(base.new_zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        hidden = F.relu(_mix(self, y, self.adapter_down, self.adapter_down_bias))
        return y + _mix(self, hidden, self.adapter_up, self.adapter_up_bias)


KINDS: dict[str, type[Graft]] = {"lora": Lora, "adapter": Adapter}


def _mix(layer: nn.Module, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear map of the channels of a layer's output."""
    for kind, conv in zip(CONVS, (F.conv1d, F.conv2d, F.conv3d), strict=True):
        if isinstance(layer, kind):
            return conv(y, weight.view(*weight.shape, *[1] * len(layer.kernel_size)), bias)
    return F.linear(y, weight, bias)


def _kaiming(x: Tensor) -> Tensor:
    """As torch draws the weights of a linear layer."""
    return nn.init.kaiming_uniform_(x, a=math.sqrt(5))


def _weight(layer: nn.Module) -> Tensor:
    """A layer's own weight, without what LoRA adds."""
    base = layer._parameters["weight"]
    assert base is not None  # _takes looked
    return base


def _matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """A layer's weight as [O, I]."""
    return weight.T if _is_turned(layer) else weight.flatten(1)


def _plain_class(layer: nn.Module) -> type:
    found: type = getattr(type(layer), "plain", type(layer))
    return found


def _is_turned(layer: nn.Module) -> bool:
    """Whether it is GPT-2's linear layer, whose weight is [I, O]; told by name, for transformers may not be here."""
    kind = _plain_class(layer)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")


def _takes(layer: nn.Module) -> bool:
    """Whether it is a linear or convolution layer with a weight of its own."""
    known = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or _is_turned(layer)
    return known and layer._parameters.get("weight") is not None


@cache
def _grafted(plain: type, kinds: tuple[str, ...]) -> type:
    """The class of a layer with grafts of these kinds."""
    if not kinds:
        return plain
    bases = (*(KINDS[kind] for kind in kinds), plain)
    return type(plain.__name__, bases, {"plain": plain, "kinds": kinds, "__module__": plain.__module__})


def _kinds(layer: nn.Module) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(type(layer), "kinds", ())
    return found


def places(backbone: nn.Module, example: Mapping[str, Tensor], kind: str, endings: Sequence[str] = ()) -> list[str]:
    """Names of the layers that can bear a graft of that kind, those that end with one of `endings` if there are any.
    LoRA is felt wherever a weight is read, an adapter only behind layers that the inputs `example` pass: attention may
    take the weight of a layer and leave the layer alone. Layers that share their weight with others are left out, for
    what is folded in would reach those too. Raises ConfigError if there is none."""
    owners = Counter(id(p) for module in backbone.modules() for p in module._parameters.values())
    layers = {name: layer for name, layer in backbone.named_modules() if name and _takes(layer)}
    layers = {name: layer for name, layer in layers.items() if owners[id(_weight(layer))] == 1}
    passed = _passed(backbone, example) if kind == "adapter" else set(layers.values())
    found = [name for name, layer in layers.items() if layer in passed]
    if not found:
        raise ConfigError(Fault("fine_tune", "the net has no linear or convolution layer for it", kind))
    chosen = [name for name in found if not endings or any(_ends(name, ending) for ending in endings)]
    if not chosen:
        some = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        raise ConfigError(Fault("fine_tune.layers", f"no layer's name ends so; there are {some}", str(list(endings))))
    return chosen


def entry(
    backbone: nn.Module, example: Mapping[str, Tensor], kind: str, endings: Sequence[str], settings: Mapping[str, Any]
) -> Entry:
    """The description of grafts of a kind for this net. Raises ConfigError as `places` does."""
    return {"kind": kind, "layers": places(backbone, example, kind, endings), **settings}


@torch.no_grad()
def _passed(backbone: nn.Module, example: Mapping[str, Tensor]) -> set[nn.Module]:
    """Modules that are called when the net is evaluated."""
    seen: set[nn.Module] = set()
    modes = [module.training for module in backbone.modules()]
    handles = [module.register_forward_hook(lambda module, *_: seen.add(module)) for module in backbone.modules()]
    backbone.eval()(**example)
    for handle in handles:
        handle.remove()
    for module, mode in zip(backbone.modules(), modes, strict=True):
        module.training = mode
    return seen


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def apply(backbone: nn.Module, entry: Mapping[str, Any]) -> list[nn.Parameter]:
    """Puts the grafts of a description on; returns their parameters, fresh. Raises ConfigError when it is damaged or
    of another net."""
    kind, settings = _checked(entry)
    names = {name for name, _ in backbone.named_modules()}
    layers = []
    for name in entry["layers"]:
        if not isinstance(name, str) or not name or name not in names:
            raise _damaged()
        layer = backbone.get_submodule(name)
        if kind in _kinds(layer) or not _takes(layer):
            raise _damaged()
        _set_kinds(layer, {*_kinds(layer), kind})
        KINDS[kind].grow(layer, **settings)  # type: ignore[arg-type]  # its class now derives from the graft's
        layers.append(layer)
    return [layer.get_parameter(name) for layer in layers for name in KINDS[kind].own]


def _set_kinds(layer: nn.Module, kinds: set[str]) -> None:
    layer.__class__ = _grafted(_plain_class(layer), tuple(sorted(kinds)))


def _checked(entry: Any) -> tuple[str, Entry]:
    """Kind and settings of an entry, each of its type and above zero."""
    if not isinstance(entry, Mapping) or entry.get("kind") not in KINDS or not isinstance(entry.get("layers"), list):
        raise _damaged()
    types = KINDS[entry["kind"]].settings
    if entry.keys() != {"kind", "layers", *types}:
        raise _damaged()
    for name, kind in types.items():
        if type(entry[name]) not in (int, kind) or not 0 < entry[name] <= MOST:
            raise _damaged()
    return entry["kind"], {name: entry[name] for name in types}


def listed(entries: Any) -> list[Entry]:
    """The entries of a description, not yet looked into. Raises ConfigError if they are no list."""
    if not isinstance(entries, list):
        raise _damaged()
    return entries


def _damaged() -> ConfigError:
    return ConfigError(Fault("model", "the description of the grafts is damaged, or of another net"))


def parameters(backbone: nn.Module, entry: Entry) -> list[nn.Parameter]:
    """The parameters of grafts that are there."""
    own = KINDS[entry["kind"]].own
    return [backbone.get_submodule(layer).get_parameter(name) for layer in entry["layers"] for name in own]


def told(entry: Entry) -> str:
    """The settings of an entry in words, `bottleneck 8 on 4 layers`."""
    values = [f"{name} {entry[name]}" for name in KINDS[entry["kind"]].settings]
    return f"{', '.join(values)} on {len(entry['layers'])} layers"


def fold(backbone: nn.Module) -> None:
    """LoRA becomes part of the weights, everywhere."""
    for layer in [module for module in backbone.modules() if isinstance(module, Lora)]:
        layer.fold()
        _set_kinds(layer, {*_kinds(layer)} - {"lora"})
