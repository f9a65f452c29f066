"""Weights made by others into a net: what fits where, and what to say when it does not."""

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.checkpoint import read
from transfer_cli.models.net import Family, Net, family
from transfer_cli.models.tensors import Bad

HEAD = "classify"
LANGUAGE = "language"
FAMILIES = ("torchvision", "cifar_resnet")
FORGIVEN = "num_batches_tracked"  # counts batches, is read by no net of ours, and absent from files before 2018


@dataclass(frozen=True)
class Report:
    """What was taken: `loaded` tensors into the backbone, and the file's classifier as head `classify` with unknown
    classes, `head` outputs. Left out: `dropped`, extras known of this model (auxiliary heads), and `unexpected`, others
    outside the backbone. `missing` are batch counters only; `sha256` is the file's."""

    file: str
    sha256: str
    loaded: int
    head: int | None
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]

    def lines(self) -> list[str]:
        """The same in words, a line each thing worth knowing."""
        head = f" and a head of {self.head:,} outputs" if self.head else ""
        lines = [f"{self.file}: {self.loaded} tensors{head}"]
        for names, why in ((self.dropped, "no part of the backbone"), (self.unexpected, "not known to this model")):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                lines.append(f"{self.file}: left out {', '.join(names[:3])}{more} ({why})")
        return lines


def load(net: Net, path: Path, *, sha256: str | None = None) -> Report:
    """Copies the tensors of a file into the net's backbone, all or none; a classifier that fits becomes a head.
    `sha256` is the content that was promised. Raises StoreError when the file cannot be read, has other content, or is
    of another model; the net is then as before."""
    try:
        tensors, digest = read(path)
        if sha256 and digest != sha256:
            raise Bad(f"the file has changed: its sha256 begins {digest[:8]}, wanted {sha256[:8]}")
        tensors = _original_names(tensors, net.backbone)
        _must_fit(tensors, net, str(path))
        taken = _taken(tensors, net.backbone)
    except Bad as bad:
        raise StoreError(Fault("weights", str(bad), str(path))) from bad
    _copy(net.backbone, taken)
    return _report(net, tensors, taken, Path(path).name, digest)


def _original_names(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Names as the original net has them: without what wrappers put in front of all of them, and those of our own nets
    turned back."""
    named = dict(tensors)
    for prefix in ("module.", "_orig_mod.", "model.", "net."):
        if all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): x for name, x in named.items()}
    if not all(name.startswith(("backbone.", "heads.")) for name in named):
        return backbone.renamed(named)
    ours = f"backbone.{backbone.inner}." if backbone.inner else "backbone."
    turned = {name.replace(f"heads.{HEAD}.", f"{backbone.classifier}.", 1): x for name, x in named.items()}
    return {name.removeprefix(ours): x for name, x in turned.items()}


def _wanted(backbone: Backbone) -> dict[str, Tensor]:
    return dict(backbone.get_submodule(backbone.inner).state_dict())


def _extra(tensors: Mapping[str, Tensor], backbone: Backbone) -> list[str]:
    """Names in the file beside those the backbone wants, its classifier and the known extras."""
    known = _wanted(backbone).keys() | {f"{backbone.classifier}.weight", f"{backbone.classifier}.bias"}
    return [name for name in tensors if name not in known and not name.startswith(backbone.dropped)]


def _must_fit(tensors: Mapping[str, Tensor], net: Net, path: str) -> None:
    bad, of = _misfits(tensors, net.backbone)
    if bad:
        model = net.recipe.get("name") or net.recipe.get("family")
        text = f"{len(bad)} of {of} tensors do not fit {model}, first {bad[0]}"
        raise StoreError(Fault("weights", text, path, nearest=_nearest(tensors, net)))


def _misfits(tensors: Mapping[str, Tensor], backbone: Backbone) -> tuple[list[str], int]:
    """A line for each tensor that is missing, of another shape or kind, or of a layer the net lacks; of how many."""
    wanted = _wanted(backbone)
    tops = {name.partition(".")[0] for name in wanted}
    bad = [text for name, x in wanted.items() if (text := _differs(name, tensors.get(name), x))]
    odd = [name for name in _extra(tensors, backbone) if name.partition(".")[0] in tops]
    return bad + [f"{name} {_shape(tensors[name])}, which it does not have" for name in odd], len(wanted) + len(odd)


def _differs(name: str, given: Tensor | None, wanted: Tensor) -> str | None:
    if given is None:
        return None if name.endswith(FORGIVEN) else f"{name}, which is missing"
    if given.shape != wanted.shape:
        return f"{name} {_shape(given)}, want {_shape(wanted)}"
    if given.is_floating_point() != wanted.is_floating_point():
        return f"{name} of {str(given.dtype)[6:]}, want {str(wanted.dtype)[6:]}"
    return None


def _shape(x: Tensor) -> str:
    return str(list(x.shape)).replace(" ", "")


def _taken(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """The tensors for the backbone. Raises Bad if one is not finite."""
    taken = {name: tensors[name] for name in _wanted(backbone) if name in tensors}
    for name, x in taken.items():
        if not x.isfinite().all():
            raise Bad(f"{name} holds NaN or infinity")
    return taken


@torch.no_grad()
def _copy(backbone: Backbone, taken: Mapping[str, Tensor]) -> None:
    for name, x in _wanted(backbone).items():
        if name in taken:
            x.copy_(taken[name])


def _report(net: Net, tensors: Mapping[str, Tensor], taken: Mapping[str, Tensor], file: str, digest: str) -> Report:
    missing = tuple(name for name in _wanted(net.backbone) if name not in taken)
    extra = tuple(_extra(tensors, net.backbone))
    head = _take_head(net, tensors) or _take_language(net, tensors)
    used = {*taken, *extra} | (set() if head is None else {_named(net, "weight"), _named(net, "bias")})
    dropped = tuple(name for name in tensors if name not in used)
    return Report(file, digest, len(taken), head, missing, dropped, extra)


def _named(net: Net, part: str) -> str:
    return f"{net.backbone.classifier}.{part}"


def _take_head(net: Net, tensors: Mapping[str, Tensor]) -> int | None:
    """The file's last linear layer as head `classify`; a layer without bias gets zeros. Returns its outputs, if any."""
    weight = tensors.get(_named(net, "weight"))
    if weight is None or weight.ndim != 2 or weight.shape[1] != net.width or not weight.is_floating_point():
        return None
    bias = tensors.get(_named(net, "bias"), torch.zeros(len(weight)))
    if bias.shape != weight.shape[:1]:
        return None
    head = net.add_head(HEAD, "linear", outputs=len(weight))
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return len(weight)


def _take_language(net: Net, tensors: Mapping[str, Tensor]) -> int | None:
    """The file's head for the next token, without bias; returns how many tokens it knows, if it has one."""
    weight = net.backbone.language_head(tensors)
    if weight is None or weight.ndim != 2 or weight.shape[1] != net.width:
        return None
    net.add_head(LANGUAGE, "tokens", outputs=len(weight))
    with torch.no_grad():
        net.head(LANGUAGE).weight.copy_(weight)
        net.head(LANGUAGE).bias.zero_()
    return len(weight)


def _nearest(tensors: Mapping[str, Tensor], net: Net) -> str | None:
    """`model=NAME` of the first model, named like the one asked for, that the file's tensors fit."""
    stem = re.match(r"[a-z]*", str(net.recipe.get("name") or ""))
    for name, cls in _models():
        if stem and stem[0] and name.startswith(stem[0]) and _fits(tensors, cls, name, net):
            return f"model={name}"
    return None


def _models() -> Iterator[tuple[str, Family]]:
    for cls in map(family, FAMILIES):
        for name in typing.get_args(inspect.signature(cls).parameters["name"].annotation):
            yield name, cls


def _fits(tensors: Mapping[str, Tensor], cls: Family, name: str, net: Net) -> bool:
    try:
        with torch.device("meta"):
            other = cls(net.input, name=name)
    except (ConfigError, RuntimeError, NotImplementedError):  # not every net can be made without memory
        return False
    return not _misfits(tensors, other)[0]
