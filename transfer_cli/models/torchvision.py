"""Every image classifier of torchvision by name, without its last linear layer."""

from typing import Any, Literal

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import UNFIT, own_parameters, unsupported_size, width_of, with_parameters

# fmt: off
Name = Literal[
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121",
    "densenet161", "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf",
    "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf", "resnet101",
    "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0",
    "squeezenet1_1", "swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn",
    "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14",
    "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
]
# fmt: on


class Torchvision(Backbone):
    """A network of torchvision.models; its features are the inputs of its last linear layer (SqueezeNet: the means of
    512 channels). It takes 3 channels. Raises ConfigError if the network does not support the image size."""

    inner = "net"

    def __init__(self, input: InputSpec, *, name: Name = "resnet18") -> None:
        if input.channels != 3:
            raise ConfigError(Fault("model.input.channels", f"{name} takes 3, grey is repeated", str(input.channels)))
        net = _make(name, input.crop)
        classifier, dropped = _behead(net)
        super().__init__(width_of(net, name, input))
        self.net, self.classifier, self.dropped = net, classifier, dropped

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net(pixels)
        return features

    def blocks(self) -> list[nn.Module]:
        return with_parameters(_blocks(self.net))


def _make(name: str, crop: int) -> nn.Module:
    from torchvision.models import get_model

    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # transform_input: the pretrained weights expect mean and std 0.5, images come with ImageNet's mean and std.
        options = {"aux_logits": False, "init_weights": False, "transform_input": True}
    elif name.startswith("vit_"):
        options = {"image_size": crop}
    elif name.startswith("maxvit"):
        options = {"input_size": (crop, crop)}
    try:
        net: nn.Module = get_model(name, weights=None, **options)
    except UNFIT as error:
        raise unsupported_size(name, crop, error) from error
    return net


def _behead(net: nn.Module) -> tuple[str, tuple[str, ...]]:
    """Replaces the last linear layer by the identity. Returns its name, and the prefixes of further tensor names that
    checkpoints contain and the backbone does not."""
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        # SqueezeNet ends in a 1x1 convolution and ReLU before the mean, which a linear head cannot represent.
        net.set_submodule("classifier", nn.AdaptiveAvgPool2d(1))
        return "", ("classifier.",)
    net.set_submodule(linear[-1], nn.Identity())
    return linear[-1], ("AuxLogits.", "aux1.", "aux2.")


def _blocks(net: nn.Module) -> list[nn.Module]:
    """Returns the blocks from input to output: of a ResNet the stem and four stages; of other networks the children,
    with sequences and encoders replaced by their members."""
    if hasattr(net, "layer1"):
        stages = (net.get_submodule(f"layer{i}") for i in (1, 2, 3, 4))
        return [nn.ModuleList([net.get_submodule("conv1"), net.get_submodule("bn1")]), *stages]
    blocks = [own_parameters(net)]
    for child in net.children():
        blocks += _open(child)
    return blocks


def _open(module: nn.Module) -> list[nn.Module]:
    from torchvision.models.vision_transformer import Encoder

    if isinstance(module, Encoder):
        return [own_parameters(module), *module.layers, module.ln]
    return list(module) if isinstance(module, nn.Sequential | nn.ModuleList) else [module]
