"""Every network of timm by name, without its classifier. Needs the extra `timm`, imported only when such a net is
built."""

from typing import Any, ClassVar

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.extras import extra
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import UNFIT, flat_blocks, unsupported_size, width_of


class Timm(Backbone):
    """A network of timm; its features are the inputs of its classifier. `name` is a timm name, with or without the tag
    of its weights (resnet18, resnet18.a1_in1k). A network with several classifiers (a distilled one) takes none from a
    checkpoint. Raises ConfigError if timm has no network of that name, or the network does not support the image
    size."""

    extra: ClassVar[str] = "timm"
    inner = "net"

    def __init__(self, input: InputSpec, *, name: str = "resnet18") -> None:
        net = _make(name, input)
        classifier_names = net.pretrained_cfg.get("classifier")
        classifiers = (classifier_names,) if isinstance(classifier_names, str) else tuple(classifier_names or ())
        super().__init__(width_of(net, name, input))
        self.net = net
        self.classifier = classifiers[0] if len(classifiers) == 1 else ""
        self.dropped = (
            tuple(f"{classifier.partition('.')[0]}." for classifier in classifiers) if len(classifiers) > 1 else ()
        )

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net(pixels)
        return features

    def blocks(self) -> list[nn.Module]:
        return flat_blocks(self.net)


def _make(name: str, input: InputSpec) -> Any:
    timm = extra("timm", "timm", "model.name", name)
    known = timm.list_pretrained() if "." in name else timm.list_models()
    if name not in known:
        raise ConfigError(Fault("model.name", "timm has no such net", name, nearest=nearest(name, known)))
    settings: dict[str, Any] = {"num_classes": 0, "in_chans": input.channels}
    if (pretrained := timm.get_pretrained_cfg(name, allow_unregistered=True)) and pretrained.fixed_input_size:
        settings["img_size"] = input.crop
    try:
        return timm.create_model(name, pretrained=False, **settings)
    except UNFIT as error:
        raise unsupported_size(name, input.crop, error) from error
