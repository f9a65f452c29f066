"""The nets that a training stage passes to later stages, as files of its result."""

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
    """Writes the files of nets. `seed32` seeds the random numbers of `Method.finish`."""

    def __init__(
        self, job: Job, context: StageContext, claim: Claim, loaders: Mapping[str, Loader], *, seed32: int
    ) -> None:
        self.claim, self.loaders, self.seed32 = claim, dict(loaders), seed32
        self.start = _Start(job.spec["net"], context)
        self.omits = False  # whether a file omits tensors that are unchanged in the initial net's file

    def write(self, rule: str, method: Method) -> None:
        """Writes the current result of the method under the name of a selection rule or a mark."""
        reseed(self.seed32)
        method.eval()
        method.finish(self.loaders)
        tensors, meta = named(method.result())
        changed = self.start.changed(tensors)
        if len(changed) < len(tensors):
            self.omits, part = True, self.start.ref["part"]
            meta |= {part: meta[part] | {"parent": self.start.ref}}
        self.claim.put(model_file({"rule": rule}), pack(changed, meta))

    def write_needs(self) -> None:
        """Writes the list of other stages' files that contain the omitted tensors, if any are omitted."""
        if self.omits:
            self.claim.put_json(NEEDS, [self.start.needed()])


def named(parts: Mapping[str, Any]) -> Named:
    """Returns the tensors of a stage's result and the descriptions of its nets by name. A tensor of a net is named
    `net.name`; a plain tensor keeps its name."""
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
    """The stored initial net of a stage. Tensors that are bit-identical to it are not stored again: a linear probe
    stores only its head, LoRA only its matrices and the head."""

    def __init__(self, ref: dict[str, Any], context: StageContext) -> None:
        self.ref, self.context = ref, context

    @cached_property
    def _stored(self) -> tuple[str, dict[str, Tensor]]:
        """The sha256 of the file that contains the net, and its tensors. Read once, when the first net is written."""
        if "key" not in self.ref:
            return "", {}
        digest = self.context.store.digest(self.ref["key"], model_file(self.ref))
        return digest, {f"{self.ref['part']}.{name}": x for name, x in self.context.tensors(self.ref)[0].items()}

    def needed(self) -> tuple[str, str, str]:
        """Stage key, name and sha256 of the file that contains the net."""
        return self.ref["key"], model_file(self.ref), self._stored[0]

    def changed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that differ from the initial net."""
        initial = self._stored[1]
        return {n: x for n, x in tensors.items() if n not in initial or not same_bits(x, initial[n])}
