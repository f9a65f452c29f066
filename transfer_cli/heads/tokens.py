"""One linear layer on the state of every token: [B, T, D] -> [B, T, outputs]."""

from torch import nn


class Tokens(nn.Linear):
    """A linear layer with one row of outputs per token, such as scores of the next token or of tags."""

    wants = "states"

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
