"""What a training stage hands on: the files of its result that hold nets."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Loader, Method
from transfer_cli.engine.device import reseed
from transfer_cli.engine.stage_context import Job, StageContext, model_file
from transfer_cli.models.tensors import pack, same_bits
from transfer_cli.store.claim import Claim
from transfer_cli.store.store import NEEDS

Named = tuple[dict[str, Tensor], dict[str, Any]]


class HandedOn:
    """Writes the files. `seed32` seeds what `Method.finish` draws."""

    def __init__(
        self, job: Job, context: StageContext, claim: Claim, loaders: Mapping[str, Loader], *, seed32: int
    ) -> None:
        self.claim, self.loaders, self.seed32 = claim, dict(loaders), seed32
        self.start = _Start(job.spec["net"], context)
        self.rests = False  # whether a file leaves out what is still as in the net that the stage began with

    def write(self, rule: str, method: Method) -> None:
        """What the method has learned by now, under the name of a selection rule or a mark."""
        reseed(self.seed32)
        method.eval()
        method.finish(self.loaders)
        tensors, meta = named(method.result())
        changed = self.start.changed(tensors)
        if len(changed) < len(tensors):
            self.rests, part = True, self.start.ref["part"]
            meta |= {part: meta[part] | {"parent": self.start.ref}}
        self.claim.put(model_file({"rule": rule}), pack(changed, meta))

    def write_needs(self) -> None:
        """The list of the files of other stages on which those written rest, if they do."""
        if self.rests:
            self.claim.put_json(NEEDS, [self.start.needed()])


def named(parts: Mapping[str, Any]) -> Named:
    """A stage's result: tensors of nets under `net.name`, plain tensors under their own names; descriptions of the nets
    by name."""
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    for name, part in parts.items():
        if isinstance(part, Tensor):
            tensors[name] = part
            continue
        meta[name] = part.describe()
        tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    return tensors, meta


class _Start:
    """The stored net that a stage began with. What is still in it bit for bit is not stored again: a linear probe
    stores its head, LoRA its matrices and the head."""

    def __init__(self, ref: dict[str, Any], context: StageContext) -> None:
        self.ref, self.context = ref, context

    @cached_property
    def _stored(self) -> tuple[str, dict[str, Tensor]]:
        """The sha256 of the file that holds the net, and its tensors; read once, when something is handed on."""
        if "key" not in self.ref:
            return "", {}
        digest = self.context.store.digest(self.ref["key"], model_file(self.ref))
        return digest, {f"{self.ref['part']}.{name}": x for name, x in self.context.tensors(self.ref)[0].items()}

    def needed(self) -> tuple[str, str, str]:
        """Stage, name and sha256 of the file that holds the net."""
        return self.ref["key"], model_file(self.ref), self._stored[0]

    def changed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those that differ from the start."""
        then = self._stored[1]
        return {n: x for n, x in tensors.items() if n not in then or not same_bits(x, then[n])}
