"""What self-supervised methods share: pictures, texts or vectors of source and target, nobody's labels."""

from collections.abc import Iterable

from transfer_cli.contracts import Batch, Inputs, Method, MethodInputs
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.methods._joined import joined


class Pretext(Method):
    """The net learns from the rows of both sides, which pass through it together; of the target alone where there is no
    source. Heads made for this stay with the method: the backbone is what is handed on."""

    needs = ("classes",)

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net = given.net
        self.net.heads.requires_grad_(False)

    def _pictures_only(self, name: str) -> None:
        if not isinstance(self.net.input, InputSpec):
            text = "learns from pictures, and the net reads none"
            raise ConfigError(Fault("pretrain", text, name, do="pretrain=simclr, or supervised"))


def together(parts: Iterable[Inputs]) -> Inputs:
    """Rows of all parts, one after the other."""
    first, *rest = parts
    for part in rest:
        first = joined(first, part)
    return first


def all_rows(batch: dict[str, Batch]) -> Inputs:
    """Inputs of every stream, one after the other."""
    return together(rows.inputs for rows in batch.values())
