"""Loads weights from external files into a net: which tensors fit, and what to report if they do not."""

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
from transfer_cli.models.tensors import InvalidFile

HEAD = "classify"
LANGUAGE = "language"
FAMILIES = ("torchvision", "cifar_resnet")
FORGIVEN = "num_batches_tracked"  # counts batches; no net here reads it, and files before 2018 lack it


@dataclass(frozen=True)
class Report:
    """What was loaded. `loaded`: number of tensors copied into the backbone. `head`: number of outputs of the file's
    classifier, which became head `classify` with unknown classes. Tensors that were left out are `dropped`, known
    extras of this model (auxiliary heads), or `unexpected`, others outside the backbone. `missing` holds batch counters
    only. `sha256` is that of the file."""

    file: str
    sha256: str
    loaded: int
    head: int | None
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]

    def lines(self) -> list[str]:
        """Returns the report in words, one line for each fact."""
        head = f" and a head of {self.head:,} outputs" if self.head else ""
        lines = [f"{self.file}: {self.loaded} tensors{head}"]
        for names, why in ((self.dropped, "no part of the backbone"), (self.unexpected, "not known to this model")):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                lines.append(f"{self.file}: left out {', '.join(names[:3])}{more} ({why})")
        return lines


def load(net: Net, path: Path, *, sha256: str | None = None) -> Report:
    """Copies the tensors of a file into the net's backbone, either all or none. A classifier that fits becomes a head.
    `sha256` is the expected hash of the file. Raises StoreError if the file cannot be read, has another hash, or
    belongs to another model; the net is then unchanged."""
    try:
        tensors, digest = read(path)
        if sha256 and digest != sha256:
            raise InvalidFile(f"the file has changed: its sha256 begins {digest[:8]}, expected {sha256[:8]}")
        tensors = _original_names(tensors, net.backbone)
        _must_fit(tensors, net, str(path))
        taken = _taken(tensors, net.backbone)
    except InvalidFile as bad:
        raise StoreError(Fault("weights", str(bad), str(path))) from bad
    _copy(net.backbone, taken)
    return _report(net, tensors, taken, Path(path).name, digest)


def _original_names(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Removes the prefixes of wrappers, and converts the names of this program's own nets to those of the original
    net."""
    named = dict(tensors)
    for prefix in ("module.", "_orig_mod.", "model.", "net."):
        if all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): x for name, x in named.items()}
    if not all(name.startswith(("backbone.", "heads.")) for name in named):
        return backbone.renamed(named)
    own_prefix = f"backbone.{backbone.inner}." if backbone.inner else "backbone."
    converted = {name.replace(f"heads.{HEAD}.", f"{backbone.classifier}.", 1): x for name, x in named.items()}
    return {name.removeprefix(own_prefix): x for name, x in converted.items()}


def _expected_tensors(backbone: Backbone) -> dict[str, Tensor]:
    return dict(backbone.get_submodule(backbone.inner).state_dict())


def _extra(tensors: Mapping[str, Tensor], backbone: Backbone) -> list[str]:
    """Returns the names in the file that are neither tensors of the backbone, nor its classifier, nor known extras."""
    known = _expected_tensors(backbone).keys() | {f"{backbone.classifier}.weight", f"{backbone.classifier}.bias"}
    return [name for name in tensors if name not in known and not name.startswith(backbone.dropped)]


def _must_fit(tensors: Mapping[str, Tensor], net: Net, path: str) -> None:
    problems, total = _misfits(tensors, net.backbone)
    if problems:
        model = net.recipe.get("name") or net.recipe.get("family")
        text = f"{len(problems)} of {total} tensors do not fit {model}, first {problems[0]}"
        raise StoreError(Fault("weights", text, path, nearest=_nearest(tensors, net)))


def _misfits(tensors: Mapping[str, Tensor], backbone: Backbone) -> tuple[list[str], int]:
    """Returns one line for each tensor that is missing, has another shape or type, or belongs to a layer that the net
    lacks; and the total number of tensors compared."""
    expected = _expected_tensors(backbone)
    tops = {name.partition(".")[0] for name in expected}
    problems = [text for name, x in expected.items() if (text := _differs(name, tensors.get(name), x))]
    unknown = [name for name in _extra(tensors, backbone) if name.partition(".")[0] in tops]
    problems += [f"{name} {_shape(tensors[name])}, which the model does not have" for name in unknown]
    return problems, len(expected) + len(unknown)


def _differs(name: str, given: Tensor | None, expected: Tensor) -> str | None:
    if given is None:
        return None if name.endswith(FORGIVEN) else f"{name}, which is missing"
    if given.shape != expected.shape:
        return f"{name} {_shape(given)}, expected {_shape(expected)}"
    if given.is_floating_point() != expected.is_floating_point():
        return f"{name} of {str(given.dtype)[6:]}, expected {str(expected.dtype)[6:]}"
    return None


def _shape(x: Tensor) -> str:
    return str(list(x.shape)).replace(" ", "")


def _taken(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Returns the tensors for the backbone. Raises InvalidFile if a value is not finite."""
    taken = {name: tensors[name] for name in _expected_tensors(backbone) if name in tensors}
    for name, x in taken.items():
        if not x.isfinite().all():
            raise InvalidFile(f"{name} holds NaN or infinity")
    return taken


@torch.no_grad()
def _copy(backbone: Backbone, taken: Mapping[str, Tensor]) -> None:
    for name, x in _expected_tensors(backbone).items():
        if name in taken:
            x.copy_(taken[name])


def _report(net: Net, tensors: Mapping[str, Tensor], taken: Mapping[str, Tensor], file: str, digest: str) -> Report:
    missing = tuple(name for name in _expected_tensors(net.backbone) if name not in taken)
    extra = tuple(_extra(tensors, net.backbone))
    head = _take_head(net, tensors) or _take_language(net, tensors)
    used = {*taken, *extra} | (set() if head is None else {_named(net, "weight"), _named(net, "bias")})
    dropped = tuple(name for name in tensors if name not in used)
    return Report(file, digest, len(taken), head, missing, dropped, extra)


def _named(net: Net, part: str) -> str:
    return f"{net.backbone.classifier}.{part}"


def _take_head(net: Net, tensors: Mapping[str, Tensor]) -> int | None:
    """Adds the file's last linear layer as head `classify`; a missing bias is zero. Returns its number of outputs, or
    None."""
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
    """Adds the file's next-token head, without bias. Returns its number of tokens, or None."""
    weight = net.backbone.language_head(tensors)
    if weight is None or weight.ndim != 2 or weight.shape[1] != net.width:
        return None
    net.add_head(LANGUAGE, "tokens", outputs=len(weight))
    with torch.no_grad():
        net.head(LANGUAGE).weight.copy_(weight)
        net.head(LANGUAGE).bias.zero_()
    return len(weight)


def _nearest(tensors: Mapping[str, Tensor], net: Net) -> str | None:
    """Returns `model=NAME` for the first model whose name starts like the requested one and that the tensors fit."""
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
    except (ConfigError, RuntimeError, NotImplementedError):  # not every net can be built on the meta device
        return False
    return not _misfits(tensors, other)[0]
