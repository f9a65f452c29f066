"""Base class of self-supervised methods: rows of source and target without labels."""

from collections.abc import Iterable

from transfer_cli.contracts import Batch, Inputs, Method, MethodInputs
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.methods._joined import joined


class Pretext(Method):
    """The net learns from the rows of source and target in one forward pass, or of the target alone if there is no
    source. Heads created for the pretext task stay with the method; only the backbone is handed on."""

    needs = ("classes",)

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net = given.net
        self.net.heads.requires_grad_(False)

    def _require_images(self, name: str) -> None:
        """Raises ConfigError if the net does not read images."""
        if not isinstance(self.net.input, InputSpec):
            text = "learns from images, and the net does not read images"
            raise ConfigError(Fault("pretrain", text, name, do="pretrain=simclr, or supervised"))


def together(parts: Iterable[Inputs]) -> Inputs:
    """Concatenates the rows of all parts in order."""
    rows, *rest = parts
    for part in rest:
        rows = joined(rows, part)
    return rows


def all_rows(batch: dict[str, Batch]) -> Inputs:
    """Concatenates the inputs of all streams in order."""
    return together(rows.inputs for rows in batch.values())
