"""A net: a backbone with named heads, built from a model node and rebuilt from its description."""

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
MAX_OUTPUTS = 1_000_000
Description = dict[str, Any]


class Net(nn.Module):
    """A backbone (inputs -> features [B, D]) and named heads; the kind of each head is a file of heads/.
    `classes[head]` lists the names of a head's outputs; None marks a head from external weights whose classes are
    unknown. `recipe` is the model node the net was built from. `grafts` describes the grafts that were added to layers
    of the backbone since."""

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
        """Returns the features [B, D] of the inputs."""
        output: Tensor = self.backbone(**inputs)
        return self.backbone.pool(output, inputs["mask"]) if self.backbone.gives == "states" else output

    def forward(self, inputs: dict[str, Tensor], head: str | None = None) -> Tensor:
        """Returns the outputs of `head`, or of the head added last if None: [B, outputs], or [B, T, outputs] for a head
        on tokens."""
        module = self.heads[head or list(self.heads)[-1]]
        outputs: Tensor = module(self.features(inputs) if module.wants == "row" else self.backbone(**inputs))
        return outputs

    def blocks(self) -> list[nn.Module]:
        """Returns the blocks of the backbone, then the heads. Together they hold every parameter exactly once."""
        return [*self.backbone.blocks(), *self.heads.values()]

    def head(self, name: str) -> nn.Linear:
        """Returns the linear head of that name."""
        head = self.heads[name]
        assert isinstance(head, nn.Linear), f"head {name} is no linear layer"
        return head

    def set_head(self, name: str, classes: Sequence[str]) -> None:
        """Gives the net a linear head for `classes`. A head that already has exactly these classes is kept. Otherwise a
        new head is created; its rows are copied from the old head for classes with the same name, and drawn from
        torch's default generator for new classes."""
        old_classes = self.classes.get(name)
        if old_classes == list(classes):
            return
        old_rows = self._rows_of_known_classes(name, old_classes, classes)
        head = self.add_head(name, "linear", classes, outputs=len(classes))
        with torch.no_grad():
            for i, (weight, bias) in old_rows.items():
                head.weight[i], head.bias[i] = weight, bias

    def add_head(self, name: str, kind: str, classes: Sequence[str] | None = None, **settings: Any) -> Any:
        """Adds a new head of a kind of heads/, in place of any head of that name. `classes` names its outputs. Raises
        ConfigError if there is no such kind, or it does not have these settings."""
        head = _head(kind, self.width, settings, self.plugins).to(self._device())
        self.heads[name] = head
        self.head_kinds[name] = {"kind": kind, "settings": dict(settings)}
        self.classes[name] = None if classes is None else list(classes)
        return head

    def _device(self) -> torch.device:
        return next(chain(self.parameters(), self.buffers())).device

    def _rows_of_known_classes(
        self, name: str, old_classes: list[str] | None, classes: Sequence[str]
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Returns weight and bias of each class that the old head already has, by the class's new index."""
        if old_classes is None:
            return {}
        head, index_of = self.head(name), {title: i for i, title in enumerate(old_classes)}
        return {
            i: (head.weight[index_of[title]], head.bias[index_of[title]])
            for i, title in enumerate(classes)
            if title in index_of
        }

    def name_classes(self, name: str, classes: Sequence[str]) -> None:
        """Names the outputs of a head with unknown classes, in order. Raises ValueError if the head is already named,
        or has another number of outputs."""
        outputs = self.head(name).out_features
        if self.classes[name] is not None or outputs != len(classes):
            raise ValueError(
                f"head {name} has {outputs} outputs named {self.classes[name]}, given {len(classes)} names"
            )
        self.classes[name] = list(classes)

    def graft(self, kind: str, endings: Sequence[str] = (), **settings: Any) -> list[nn.Parameter]:
        """Adds grafts of a kind (of this package or of the peft library) to every layer of the backbone that can take
        one, or only to layers whose names end with one of `endings`. Returns their parameters. If the net already has
        grafts with exactly these settings, they are kept and trained further. Raises ConfigError if the net has grafts
        of this kind with other settings, or no such layer."""
        example = {name: x.to(self._device()) for name, x in self.input.example().items()}
        module = _module_for(kind)
        entry = module.entry(self.backbone, example, kind, endings, settings)
        present = next((one for one in self.grafts if one["kind"] == kind), None)
        if present is not None and present != entry:
            text = f"the net has {kind}s already, with {module.settings_in_words(present)}"
            do = "use the same settings to train them further"
            raise ConfigError(Fault("fine_tune", text, module.settings_in_words(entry), do=do))
        if present is not None:
            return module.parameters(self.backbone, present)
        parameters = module.apply(self.backbone, entry)
        self.grafts.append(entry)
        return parameters

    def merge(self) -> None:
        """Merges LoRA into the weights. The net then has no LoRA tensors and the same outputs up to rounding."""
        grafts.fold(self.backbone)
        self.grafts = [entry for entry in self.grafts if entry["kind"] != "lora"]

    def describe(self) -> dict[str, Any]:
        """Returns JSON from which `rebuild` builds a net of the same shape."""
        heads = {name: {"classes": self.classes[name], **self.head_kinds[name]} for name in self.heads}
        graft_entries = {"grafts": self.grafts} if self.grafts else {}
        return {"model": self.recipe, "heads": heads, **graft_entries}


def build(node: Node, plugins: Sequence[str] = ()) -> Net:
    """Builds a net without heads. Its parameters are drawn from torch's default generator. Raises ConfigError if the
    family does not exist, does not have one of the keys, or does not support the input."""
    cls = family(node.get("family"), plugins)
    options = {key: value for key, value in node.items() if key not in RESERVED}
    allowed = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(options.keys() - set(allowed)):
        raise ConfigError(*(Fault(f"model.{key}", f"{node['family']} has no such key") for key in unknown))
    net = Net(cls(input_spec(node, plugins), **options), node, plugins)
    return net.to(memory_format=torch.channels_last) if net.channels_last else net


def rebuild(description: Mapping[str, Any], plugins: Sequence[str] = ()) -> Net:
    """Builds the net of a description with new parameters; load its tensors next. Raises ConfigError if the description
    is damaged. Names in a description can select model families only, never other code."""
    heads = description.get("heads")
    if not isinstance(description.get("model"), Mapping) or not isinstance(heads, Mapping):
        raise ConfigError(Fault("model", "the description of the net is damaged"))
    net = build(description["model"], plugins)
    for name, head in heads.items():
        kind, settings, classes = _described(name, head, description.get("tokens") or ())
        net.add_head(name, kind, classes, **settings)
    for entry in grafts.listed(description.get("grafts", [])):
        _module_for(entry.get("kind") if isinstance(entry, Mapping) else None).apply(net.backbone, entry)
        net.grafts.append(dict(entry))
    return net


def input_spec(node: Node, plugins: Sequence[str] = ()) -> Any:
    """Returns the `input` of a model node, checked by the kind of row it describes. Raises ConfigError for missing or
    unknown keys."""
    given = node.get("input")
    if not isinstance(given, Mapping):
        raise ConfigError(Fault("model.input", "is missing"))
    return kind_reading(given, plugins)[1].spec(given)


def _head(kind: str, width: int, settings: Node, plugins: Sequence[str]) -> nn.Module:
    cls = load_class("heads", kind, plugins)
    try:
        head: nn.Module = cls(width, **settings)
    except TypeError:
        raise ConfigError(Fault("model", f"a head {kind} has no such settings", str(dict(settings)))) from None
    return head


def _described(name: str, head: Mapping[str, Any], tokens: Sequence[str]) -> tuple[str, Description, list[str] | None]:
    """Returns the kind, settings and classes of a described head. Descriptions of version 0.1 give the number of
    outputs as `n` and list the token heads separately. Raises ConfigError for a damaged one."""
    classes, settings = head.get("classes"), head.get("settings", {"outputs": head.get("n")})
    kind = head.get("kind", "tokens" if name in tokens else "linear")
    sizes = [value for value in settings.values() if type(value) is int] if isinstance(settings, Mapping) else []
    valid = isinstance(kind, str) and bool(sizes) and all(1 <= size <= MAX_OUTPUTS for size in sizes)
    if not valid or (classes is not None and len(classes) != settings.get("outputs", len(classes))):
        raise ConfigError(Fault("model", f"the description of head {name} is damaged"))
    return kind, dict(settings), classes


def _module_for(kind: Any) -> Any:
    """Returns the module that implements grafts of this kind."""
    return peft if kind in peft.KINDS else grafts


def family(name: Any, plugins: Sequence[str] = ()) -> Family:
    """Returns the Backbone of a family by its file name; this package is searched first, then the plugin packages in
    order. Raises ConfigError if there is none."""
    with suppress(ConfigError):
        cls = load_class("models", str(name), plugins)
        if issubclass(cls, Backbone) and cls is not Backbone:
            return cls
    raise ConfigError(Fault("model.family", "no such model family", str(name), do="transfer list models"))
