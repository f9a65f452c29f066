"""Image classifiers of the transformers library (ViT, ConvNeXt, ResNet ...), built from a folder's config.json, without
their classifier. Only the architecture that is asked for is imported, and never code of a folder."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import stacked, width_of

MOST = 2**17  # of any whole number in a config.json: widths, depths, pixels


class TransformersImage(Backbone):
    """A net of AutoModelForImageClassification; features are what its last linear layer reads. `config`: the content
    of a config.json; none: a ViT-B/16. Raises ConfigError for what the library does not know, and for pictures that
    the net cannot take."""

    inner = "net"

    def __init__(self, input: InputSpec, *, config: dict[str, Any] | None = None) -> None:
        made = _config(config or {"model_type": "vit", "image_size": input.crop})
        super().__init__(0)
        self.net: Any = _class_of(made)._from_config(made)
        if input.channels != (wanted := getattr(made, "num_channels", 3)):
            raise ConfigError(Fault("model.input.channels", f"{made.model_type} takes {wanted}", str(input.channels)))
        self.classifier = _behead(self.net, made.model_type)
        self.width = width_of(self, made.model_type, input)

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net(pixel_values=pixels).logits
        return features

    def blocks(self) -> list[nn.Module]:
        """Embeddings, every layer or stage, what comes after."""
        return stacked(self.net)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Names of today's library, which files of older versions do not have."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key

        found = get_model_conversion_mapping(self.net)
        renamings = [one for one in found if isinstance(one, WeightRenaming)]
        return {rename_source_key(name, renamings, [])[0]: x for name, x in tensors.items()}


def _config(values: Mapping[str, Any]) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    name, rest = str(values.get("model_type")), {key: x for key, x in values.items() if key != "model_type"}
    if name not in CONFIG_MAPPING:
        raise ConfigError(Fault("model.config", "no architecture of the transformers library", name))
    large = [f"{key} {x}" for key, x in rest.items() for one in (x if isinstance(x, list) else [x]) if _large(one)]
    if large:
        raise StoreError(Fault("weights", f"config.json: {large[0]}, allowed at most {MOST:,}"))
    try:
        return CONFIG_MAPPING[name](**rest)
    except Exception as error:  # the library checks in many ways
        raise ConfigError(Fault("model.config", f"no image model: {str(error)[:120]}", name)) from None


def _large(value: Any) -> bool:
    return type(value) is int and value > MOST


def _class_of(config: Any) -> Any:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    found = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    if found is None:
        text = "classifies no pictures; wants one like vit, convnext, resnet, swin"
        raise ConfigError(Fault("model.config", text, config.model_type))
    return found[0] if isinstance(found, tuple) else found


def _behead(net: nn.Module, name: str) -> str:
    """Takes the last linear layer away and returns its name."""
    linear = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(Fault("model.config", "has no linear classifier", name))
    net.set_submodule(linear[-1], nn.Identity())
    return linear[-1]
