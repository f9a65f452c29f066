"""A bag of words: the mean of the token embeddings, without order. The baseline for every text model."""

from typing import Annotated

from torch import Tensor, nn

from transfer_cli.kinds.texts import TokenSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.ranges import Range

PRIME = 1_000_003


class EmbeddingBag(Backbone):
    """Joulin et al. 2017, arXiv:1607.01759 (fastText): the features of a text are the mean of its token embeddings. If
    `pairs` is not 0, each pair of neighbouring tokens is hashed into one of `pairs` further embeddings, and those are
    averaged as well."""

    reads = "texts"
    gives = "states"
    masked = ("embedding_bag",)

    def __init__(
        self,
        input: TokenSpec,
        *,
        width: Annotated[int, Range(1, 8192)] = 64,
        pairs: Annotated[int, Range(0, 10_000_000)] = 0,
    ) -> None:
        super().__init__(width)
        self.words = nn.Embedding(input.size, width)
        self.pairs = nn.Embedding(pairs, width) if pairs else None
        for table in filter(None, (self.words, self.pairs)):
            nn.init.uniform_(table.weight, -1 / width, 1 / width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids [B, T] int64, mask [B, T] bool -> states [B, T, D]: the embedding of each token, averaged with that of
        the pair it forms with the token before it."""
        states: Tensor = self.words(ids)
        if self.pairs is None:
            return states
        hashed = (ids[:, :-1] * PRIME + ids[:, 1:]) % self.pairs.num_embeddings
        return (states + nn.functional.pad(self.pairs(hashed), (0, 0, 1, 0))) / 2

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList([table for table in (self.words, self.pairs) if table is not None])]
