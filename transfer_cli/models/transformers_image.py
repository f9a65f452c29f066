"""Image classifiers of the transformers library (ViT, ConvNeXt, ResNet ...), built from a folder's config.json, without
their classifier. Only the requested architecture is imported, and never code from a folder."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import layer_blocks, width_of

MAX_INTEGER = 2**17  # largest integer allowed in a config.json: widths, depths, pixels


class TransformersImage(Backbone):
    """A network of AutoModelForImageClassification; its features are the inputs of its last linear layer. `config` is
    the content of a config.json; None is a ViT-B/16. Raises ConfigError for a configuration that the library does not
    accept, and for an image size that the network does not support."""

    inner = "net"

    def __init__(self, input: InputSpec, *, config: dict[str, Any] | None = None) -> None:
        settings = _config(config or {"model_type": "vit", "image_size": input.crop})
        super().__init__(0)
        self.net: Any = _class_of(settings)._from_config(settings)
        if input.channels != (channels := getattr(settings, "num_channels", 3)):
            raise ConfigError(
                Fault("model.input.channels", f"{settings.model_type} takes {channels}", str(input.channels))
            )
        self.classifier = _behead(self.net, settings.model_type)
        self.width = width_of(self, settings.model_type, input)

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net(pixel_values=pixels).logits
        return features

    def blocks(self) -> list[nn.Module]:
        """Returns the embeddings, each layer or stage, and the modules after them."""
        return layer_blocks(self.net)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Converts the names of older library versions to those of the installed one."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key

        mapping = get_model_conversion_mapping(self.net)
        renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        return {rename_source_key(name, renamings, [])[0]: x for name, x in tensors.items()}


def _config(values: Mapping[str, Any]) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    name, rest = str(values.get("model_type")), {key: x for key, x in values.items() if key != "model_type"}
    if name not in CONFIG_MAPPING:
        raise ConfigError(Fault("model.config", "no architecture of the transformers library", name))
    large = [f"{key} {x}" for key, x in rest.items() for one in (x if isinstance(x, list) else [x]) if _large(one)]
    if large:
        raise StoreError(Fault("weights", f"config.json: {large[0]}, allowed at most {MAX_INTEGER:,}"))
    try:
        return CONFIG_MAPPING[name](**rest)
    except Exception as error:  # the library raises many types of errors
        raise ConfigError(Fault("model.config", f"no image model: {str(error)[:120]}", name)) from None


def _large(value: Any) -> bool:
    return type(value) is int and value > MAX_INTEGER


def _class_of(config: Any) -> Any:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    cls = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    if cls is None:
        text = "does not classify images; use one like vit, convnext, resnet, swin"
        raise ConfigError(Fault("model.config", text, config.model_type))
    return cls[0] if isinstance(cls, tuple) else cls


def _behead(net: nn.Module, name: str) -> str:
    """Replaces the last linear layer by the identity and returns its name."""
    linear = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(Fault("model.config", "has no linear classifier", name))
    net.set_submodule(linear[-1], nn.Identity())
    return linear[-1]
