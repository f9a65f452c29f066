"""Every net of timm by its name, without its classifier. The extra `timm`; imported only when such a net is built."""

from typing import Any, ClassVar

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.extras import extra
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import UNFIT, opened, too_odd, width_of


class Timm(Backbone):
    """A net of timm; features are what its classifier reads. `name` is one of timm's, with or without the tag of its
    weights (resnet18, resnet18.a1_in1k). Nets with several classifiers (distilled ones) take none from a checkpoint.
    Raises ConfigError for a name that timm does not know, and for pictures that the net cannot take."""

    extra: ClassVar[str] = "timm"
    inner = "net"

    def __init__(self, input: InputSpec, *, name: str = "resnet18") -> None:
        net = _make(name, input)
        said = net.pretrained_cfg.get("classifier")
        classifiers = (said,) if isinstance(said, str) else tuple(said or ())
        super().__init__(width_of(net, name, input))
        self.net = net
        self.classifier = classifiers[0] if len(classifiers) == 1 else ""
        self.dropped = tuple(f"{one.partition('.')[0]}." for one in classifiers) if len(classifiers) > 1 else ()

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net(pixels)
        return features

    def blocks(self) -> list[nn.Module]:
        return opened(self.net)


def _make(name: str, input: InputSpec) -> Any:
    timm = extra("timm", "timm", "model.name", name)
    known = timm.list_pretrained() if "." in name else timm.list_models()
    if name not in known:
        raise ConfigError(Fault("model.name", "timm has no such net", name, nearest=nearest(name, known)))
    settings: dict[str, Any] = {"num_classes": 0, "in_chans": input.channels}
    if (said := timm.get_pretrained_cfg(name, allow_unregistered=True)) and said.fixed_input_size:
        settings["img_size"] = input.crop
    try:
        return timm.create_model(name, pretrained=False, **settings)
    except UNFIT as error:
        raise too_odd(name, input.crop, error) from error
