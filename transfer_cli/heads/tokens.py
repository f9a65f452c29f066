"""One linear layer on the state of every token: [B, T, D] -> [B, T, outputs]."""

from torch import nn


class Tokens(nn.Linear):
    """Scores of the next token, of a tag: one row of outputs a token."""

    wants = "states"

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
