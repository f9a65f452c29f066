"""LoRA and adapters: small trainable parts on the linear and convolution layers of any net.

A grafted layer stays the same module object; only its class changes, to one derived from its own class. Its tensors
keep their names and the tensors of the graft are added (`lora_down`, `adapter_up` ...), so every reference to the
module sees the grafted layer. A fresh graft does not change the outputs. Shapes: O outputs; I inputs of one output (of
a convolution: channels of a group times kernel size); r rank; m bottleneck."""

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
MAX_SETTING = 65536


class Graft(nn.Module):
    """Base class of a graft; it is put in front of the layer's class in the method resolution order. `settings` maps
    the keys of its description to their types; `own` names its tensors."""

    settings: ClassVar[dict[str, type]] = {}
    own: ClassVar[tuple[str, ...]] = ()

    def grow(self, *args: Any, **settings: Any) -> None:
        """Creates the graft's tensors on the device and in the data type of the layer."""
        raise NotImplementedError


class Lora(Graft):
    """Adds a matrix of rank r to the weight: W + alpha / r * up [O, r] @ down [r, I]. Hu et al. 2021, arXiv:2106.09685,
    eq. 3. `down` (A) starts from Kaiming's distribution, `up` (B) at zero. For a convolution without groups, this
    equals a k x k convolution to r channels followed by a 1 x 1 convolution; groups share `down`. The weights are
    summed, not the outputs: code that reads the layer's weight gets the sum, and merging it into the weight is exact. A
    rank above the rank of the weight is reduced to it."""

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
        return base + (delta.T if _is_transposed(self) else delta.view(base.shape))

    def fold(self) -> None:
        """Merges the sum into the weight and removes the graft's tensors."""
        with torch.no_grad():
            _weight(self).copy_(self.weight)
        for name in Lora.own:
            del self._parameters[name]
        del self.lora_scale


class Adapter(Graft):
    """Adds a residual bottleneck after the layer: y + up(relu(down(y))) over the channels of y; `up` starts at zero.
    Houlsby et al. 2019, arXiv:1902.00751, section 2.1; for convolutions it is 1 x 1, as in Rebuffi et al. 2017,
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
    """Applies a linear map to the channels of a layer's output."""
    for kind, conv in zip(CONVS, (F.conv1d, F.conv2d, F.conv3d), strict=True):
        if isinstance(layer, kind):
            return conv(y, weight.view(*weight.shape, *[1] * len(layer.kernel_size)), bias)
    return F.linear(y, weight, bias)


def _kaiming(x: Tensor) -> Tensor:
    """Initialises `x` as torch initialises the weight of a linear layer."""
    return nn.init.kaiming_uniform_(x, a=math.sqrt(5))


def _weight(layer: nn.Module) -> Tensor:
    """Returns the layer's own weight, without the LoRA term."""
    base = layer._parameters["weight"]
    assert base is not None  # checked by _can_be_grafted
    return base


def _matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """Returns a layer's weight as [O, I]."""
    return weight.T if _is_transposed(layer) else weight.flatten(1)


def _plain_class(layer: nn.Module) -> type:
    plain: type = getattr(type(layer), "plain", type(layer))
    return plain


def _is_transposed(layer: nn.Module) -> bool:
    """Returns whether the layer is GPT-2's linear layer, whose weight is [I, O]. The check is by name because the
    transformers library may not be installed."""
    kind = _plain_class(layer)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")


def _can_be_grafted(layer: nn.Module) -> bool:
    """Returns whether the layer is a linear or convolution layer with a weight of its own."""
    known = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or _is_transposed(layer)
    return known and layer._parameters.get("weight") is not None


@cache
def _grafted(plain: type, kinds: tuple[str, ...]) -> type:
    """Returns the class of a layer with grafts of these kinds."""
    if not kinds:
        return plain
    bases = (*(KINDS[kind] for kind in kinds), plain)
    return type(plain.__name__, bases, {"plain": plain, "kinds": kinds, "__module__": plain.__module__})


def _kinds(layer: nn.Module) -> tuple[str, ...]:
    kinds: tuple[str, ...] = getattr(type(layer), "kinds", ())
    return kinds


def graftable_layers(
    backbone: nn.Module, example: Mapping[str, Tensor], kind: str, endings: Sequence[str] = ()
) -> list[str]:
    """Returns the names of the layers that can take a graft of this kind; if `endings` are given, only names that end
    with one of them. LoRA acts wherever a weight is read. An adapter acts only after layers that are called in a
    forward pass of `example`: attention may read the weight of a layer without calling the layer. Layers that share
    their weight with other layers are left out, because merging would change those as well. Raises ConfigError if no
    layer is left."""
    owners = Counter(id(p) for module in backbone.modules() for p in module._parameters.values())
    layers = {name: layer for name, layer in backbone.named_modules() if name and _can_be_grafted(layer)}
    layers = {name: layer for name, layer in layers.items() if owners[id(_weight(layer))] == 1}
    reached = _called_modules(backbone, example) if kind == "adapter" else set(layers.values())
    names = [name for name, layer in layers.items() if layer in reached]
    if not names:
        raise ConfigError(Fault("fine_tune", "the net has no linear or convolution layer for it", kind))
    matching = [name for name in names if not endings or any(_ends(name, ending) for ending in endings)]
    if not matching:
        examples = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        text = f"no layer name ends with one of these; there are {examples}"
        raise ConfigError(Fault("fine_tune.layers", text, str(list(endings))))
    return matching


def entry(
    backbone: nn.Module, example: Mapping[str, Tensor], kind: str, endings: Sequence[str], settings: Mapping[str, Any]
) -> Entry:
    """Returns the description of a graft of this kind for this net. Raises ConfigError as `graftable_layers` does."""
    return {"kind": kind, "layers": graftable_layers(backbone, example, kind, endings), **settings}


@torch.no_grad()
def _called_modules(backbone: nn.Module, example: Mapping[str, Tensor]) -> set[nn.Module]:
    """Returns the modules that are called in a forward pass in eval mode."""
    called: set[nn.Module] = set()
    modes = [module.training for module in backbone.modules()]
    handles = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in backbone.modules()]
    backbone.eval()(**example)
    for handle in handles:
        handle.remove()
    for module, mode in zip(backbone.modules(), modes, strict=True):
        module.training = mode
    return called


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def apply(backbone: nn.Module, entry: Mapping[str, Any]) -> list[nn.Parameter]:
    """Applies the grafts of a description and returns their new parameters. Raises ConfigError if the description is
    damaged or belongs to another net."""
    kind, settings = _checked(entry)
    names = {name for name, _ in backbone.named_modules()}
    layers = []
    for name in entry["layers"]:
        if not isinstance(name, str) or not name or name not in names:
            raise _damaged()
        layer = backbone.get_submodule(name)
        if kind in _kinds(layer) or not _can_be_grafted(layer):
            raise _damaged()
        _set_kinds(layer, {*_kinds(layer), kind})
        KINDS[kind].grow(layer, **settings)  # type: ignore[arg-type]  # its class now derives from the graft's
        layers.append(layer)
    return [layer.get_parameter(name) for layer in layers for name in KINDS[kind].own]


def _set_kinds(layer: nn.Module, kinds: set[str]) -> None:
    layer.__class__ = _grafted(_plain_class(layer), tuple(sorted(kinds)))


def _checked(entry: Any) -> tuple[str, Entry]:
    """Returns the kind and the settings of an entry after checking that each has its type and is above zero."""
    if not isinstance(entry, Mapping) or entry.get("kind") not in KINDS or not isinstance(entry.get("layers"), list):
        raise _damaged()
    types = KINDS[entry["kind"]].settings
    if entry.keys() != {"kind", "layers", *types}:
        raise _damaged()
    for name, kind in types.items():
        if type(entry[name]) not in (int, kind) or not 0 < entry[name] <= MAX_SETTING:
            raise _damaged()
    return entry["kind"], {name: entry[name] for name in types}


def listed(entries: Any) -> list[Entry]:
    """Returns the entries of a description, not yet checked. Raises ConfigError if they are not a list."""
    if not isinstance(entries, list):
        raise _damaged()
    return entries


def _damaged() -> ConfigError:
    return ConfigError(Fault("model", "the description of the grafts is damaged, or belongs to another net"))


def parameters(backbone: nn.Module, entry: Entry) -> list[nn.Parameter]:
    """Returns the parameters of grafts that are already applied."""
    own = KINDS[entry["kind"]].own
    return [backbone.get_submodule(layer).get_parameter(name) for layer in entry["layers"] for name in own]


def settings_in_words(entry: Entry) -> str:
    """Returns the settings of an entry in words, as `bottleneck 8 on 4 layers`."""
    values = [f"{name} {entry[name]}" for name in KINDS[entry["kind"]].settings]
    return f"{', '.join(values)} on {len(entry['layers'])} layers"


def fold(backbone: nn.Module) -> None:
    """Merges every LoRA graft of the backbone into the weights."""
    for layer in [module for module in backbone.modules() if isinstance(module, Lora)]:
        layer.fold()
        _set_kinds(layer, {*_kinds(layer)} - {"lora"})
