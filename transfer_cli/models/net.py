"""The net: a backbone with named heads, built from a model node and rebuilt from its description."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds._kind import kind_reading
from transfer_cli.models import grafts, peft
from transfer_cli.models.backbone import Backbone
from transfer_cli.plugins import load_class

Node = Mapping[str, Any]
Family = Callable[..., Backbone]  # (input spec, *, keys of the YAML)
RESERVED = ("family", "input", "precision", "channels_last")
MOST_OUTPUTS = 1_000_000
Description = dict[str, Any]


class Net(nn.Module):
    """Backbone (inputs -> features [B, D]) and heads by name, each of a kind of heads/. `classes[head]` names the
    outputs of a head; None: a head of someone else's weights, whose classes are not known. `recipe` is the model node;
    `grafts` describes what was put on layers of the backbone since."""

    def __init__(self, backbone: Backbone, recipe: Node, plugins: Sequence[str] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        self.classes: dict[str, list[str] | None] = {}
        self.head_kinds: dict[str, Description] = {}
        self.grafts: list[grafts.Entry] = []
        self.recipe = dict(recipe)
        self.width = backbone.width
        self.input = input_spec(recipe, plugins)
        self.plugins = tuple(plugins)
        self.precision: str = recipe.get("precision", "fp32")
        self.channels_last: bool = recipe.get("channels_last", False)

    def features(self, inputs: dict[str, Tensor]) -> Tensor:
        """Inputs of the kind that the backbone reads -> [B, D]."""
        found: Tensor = self.backbone(**inputs)
        return self.backbone.pool(found, inputs["mask"]) if self.backbone.gives == "states" else found

    def forward(self, inputs: dict[str, Tensor], head: str | None = None) -> Tensor:
        """What `head` makes of the inputs, the newest head unless one is named: [B, outputs], a token [B, T,
        outputs]."""
        chosen = self.heads[head or list(self.heads)[-1]]
        answer: Tensor = chosen(self.features(inputs) if chosen.wants == "row" else self.backbone(**inputs))
        return answer

    def blocks(self) -> list[nn.Module]:
        """Modules from input to output: the backbone's, then the heads. They hold every parameter, each once."""
        return [*self.backbone.blocks(), *self.heads.values()]

    def head(self, name: str) -> nn.Linear:
        """The head of that name."""
        found = self.heads[name]
        assert isinstance(found, nn.Linear), f"head {name} is no linear layer"
        return found

    def set_head(self, name: str, classes: Sequence[str]) -> None:
        """Gives the net a head for `classes`. A head of just these classes stays as it is; of another, the rows of
        classes it knows by name are kept. New rows are drawn from torch's default generator."""
        known = self.classes.get(name)
        if known == list(classes):
            return
        kept = self._rows(name, known, classes)
        head = self.add_head(name, "linear", classes, outputs=len(classes))
        with torch.no_grad():
            for i, (weight, bias) in kept.items():
                head.weight[i], head.bias[i] = weight, bias

    def add_head(self, name: str, kind: str, classes: Sequence[str] | None = None, **settings: Any) -> Any:
        """A fresh head of a kind of heads/ in place of any of that name. `classes` name its outputs. Raises ConfigError
        for a kind that is not there, or settings that it does not take."""
        head = _head(kind, self.width, settings, self.plugins).to(self._device())
        self.heads[name] = head
        self.head_kinds[name] = {"kind": kind, "settings": dict(settings)}
        self.classes[name] = None if classes is None else list(classes)
        return head

    def _device(self) -> torch.device:
        return next(chain(self.parameters(), self.buffers())).device

    def _rows(self, name: str, known: list[str] | None, classes: Sequence[str]) -> dict[int, tuple[Tensor, Tensor]]:
        if known is None:
            return {}
        head, place = self.head(name), {word: i for i, word in enumerate(known)}
        return {
            i: (head.weight[place[word]], head.bias[place[word]]) for i, word in enumerate(classes) if word in place
        }

    def name_classes(self, name: str, classes: Sequence[str]) -> None:
        """Says what the outputs of a head with unknown classes are, in order. Raises ValueError if it has others."""
        outputs = self.head(name).out_features
        if self.classes[name] is not None or outputs != len(classes):
            raise ValueError(
                f"head {name} has {outputs} outputs named {self.classes[name]}, given {len(classes)} names"
            )
        self.classes[name] = list(classes)

    def graft(self, kind: str, endings: Sequence[str] = (), **settings: Any) -> list[nn.Parameter]:
        """Grafts of a kind, ours or peft's, on every layer of the backbone that can bear one, or on those whose names
        end with one of `endings`; returns their parameters. Grafts just like these that are there already stay as they
        are. Raises ConfigError if there are others of the kind, or no such layer."""
        example = {name: x.to(self._device()) for name, x in self.input.example().items()}
        maker = _maker(kind)
        entry = maker.entry(self.backbone, example, kind, endings, settings)
        before = next((known for known in self.grafts if known["kind"] == kind), None)
        if before is not None and before != entry:
            text = f"the net has {kind}s already, made by {maker.told(before)}"
            raise ConfigError(Fault("fine_tune", text, maker.told(entry), do="the same settings let them learn on"))
        if before is not None:
            return maker.parameters(self.backbone, before)
        fresh = maker.apply(self.backbone, entry)
        self.grafts.append(entry)
        return fresh

    def merge(self) -> None:
        """Folds LoRA into the weights: the same outputs, to rounding, from a net without it."""
        grafts.fold(self.backbone)
        self.grafts = [entry for entry in self.grafts if entry["kind"] != "lora"]

    def describe(self) -> dict[str, Any]:
        """JSON from which `rebuild` makes a net of the same shape."""
        heads = {name: {"classes": self.classes[name], **self.head_kinds[name]} for name in self.heads}
        grown = {"grafts": self.grafts} if self.grafts else {}
        return {"model": self.recipe, "heads": heads, **grown}


def build(node: Node, plugins: Sequence[str] = ()) -> Net:
    """A net without heads, its parameters drawn from torch's default generator. Raises ConfigError for a family that
    is not there, keys it does not have, or input it cannot take."""
    cls = family(node.get("family"), plugins)
    options = {key: value for key, value in node.items() if key not in RESERVED}
    allowed = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(options.keys() - set(allowed)):
        raise ConfigError(*(Fault(f"model.{key}", f"{node['family']} has no such key") for key in unknown))
    net = Net(cls(input_spec(node, plugins), **options), node, plugins)
    return net.to(memory_format=torch.channels_last) if net.channels_last else net


def rebuild(description: Mapping[str, Any], plugins: Sequence[str] = ()) -> Net:
    """The net a `describe` came from, with fresh parameters: load its tensors next. Raises ConfigError when the
    description is not one; names in it reach families only, never other code."""
    heads = description.get("heads")
    if not isinstance(description.get("model"), Mapping) or not isinstance(heads, Mapping):
        raise ConfigError(Fault("model", "the description of the net is damaged"))
    net = build(description["model"], plugins)
    for name, head in heads.items():
        kind, settings, classes = _described(name, head, description.get("tokens") or ())
        net.add_head(name, kind, classes, **settings)
    for entry in grafts.listed(description.get("grafts", [])):
        _maker(entry.get("kind") if isinstance(entry, Mapping) else None).apply(net.backbone, entry)
        net.grafts.append(dict(entry))
    return net


def input_spec(node: Node, plugins: Sequence[str] = ()) -> Any:
    """The `input` of a model node, checked by the kind of row it describes. Raises ConfigError for missing or unknown
    keys."""
    given = node.get("input")
    if not isinstance(given, Mapping):
        raise ConfigError(Fault("model.input", "is missing"))
    return kind_reading(given, plugins)[1].spec(given)


def _head(kind: str, width: int, settings: Node, plugins: Sequence[str]) -> nn.Module:
    cls = load_class("heads", kind, plugins)
    try:
        made: nn.Module = cls(width, **settings)
    except TypeError:
        raise ConfigError(Fault("model", f"a head {kind} has no such settings", str(dict(settings)))) from None
    return made


def _described(name: str, head: Mapping[str, Any], tokens: Sequence[str]) -> tuple[str, Description, list[str] | None]:
    """Kind, settings and classes of a described head; descriptions of version 0.1 say the outputs as `n` and list the
    heads of tokens beside. Raises ConfigError for a damaged one."""
    classes, settings = head.get("classes"), head.get("settings", {"outputs": head.get("n")})
    kind = head.get("kind", "tokens" if name in tokens else "linear")
    sizes = [value for value in settings.values() if type(value) is int] if isinstance(settings, Mapping) else []
    sound = isinstance(kind, str) and bool(sizes) and all(1 <= size <= MOST_OUTPUTS for size in sizes)
    if not sound or (classes is not None and len(classes) != settings.get("outputs", len(classes))):
        raise ConfigError(Fault("model", f"the description of head {name} is damaged"))
    return kind, dict(settings), classes


def _maker(kind: Any) -> Any:
    """Who makes grafts of a kind."""
    return peft if kind in peft.KINDS else grafts


def family(name: Any, plugins: Sequence[str] = ()) -> Family:
    """The Backbone of a family by the name of its file, ours first, then each plugin package's. ConfigError if none."""
    with suppress(ConfigError):
        found = load_class("models", str(name), plugins)
        if issubclass(found, Backbone) and found is not Backbone:
            return found
    raise ConfigError(Fault("model.family", "no such model family", str(name), do="transfer list models"))
