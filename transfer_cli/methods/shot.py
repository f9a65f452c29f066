"""SHOT: adaptation without source rows; the head is frozen and the features are trained on the target."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loader, Loss, Method, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.losses.certainty import information
from transfer_cli.methods._whole import features_of


class Shot(Method):
    """SHOT, Liang et al. 2020, arXiv:2002.08546, eq. 7. The head is frozen. The backbone maximises the mutual
    information of its predictions (eq. 3) and is trained on pseudo-labels, the nearest class centroid (eqs. 4 to 6),
    which are computed `renewals` times during training. No source rows are read, so the net must already be trained on
    the source. `pseudo`: weight of the pseudo-label loss."""

    streams = {"target": Stream(labelled=False)}
    coupled = True
    needs = ("classes",)
    taught = True

    labels: Tensor  # pseudo-labels [N], 0 until they are first computed

    def __init__(
        self,
        given: MethodInputs,
        *,
        pseudo: Annotated[float, Range(0)] = 0.3,
        renewals: Annotated[int, Range(1)] = 15,
    ) -> None:
        super().__init__()
        self.net: Any = given.net
        self.task = given.tasks["target"]
        self.pseudo, self.renewals = pseudo, renewals
        self.net.heads.requires_grad_(False)
        self.register_buffer("labels", torch.zeros(given.rows["target"], dtype=torch.int64))

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net.backbone]}

    @torch.no_grad()
    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        if self.pseudo and at.renews(self.renewals):
            features = features_of(self.net, loaders["target"])
            self.labels.copy_(pseudo_labels(features, self.head(features)))

    def head(self, features: Tensor) -> Tensor:
        """Returns the scores [B, C] of features [B, D]."""
        scores: Tensor = self.net.heads[self.task.head](features)
        return scores

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        target = batch["target"]
        scores = self.head(self.net.features(target.inputs)).float()
        mutual_information = information(scores)
        pseudo_loss = nn.functional.cross_entropy(scores, self.labels.index_select(0, target.index))
        yield Loss(
            "net",
            self.pseudo * pseudo_loss - mutual_information,
            {"information": mutual_information, "pseudo": pseudo_loss},
        )


@torch.no_grad()
def pseudo_labels(features: Tensor, scores: Tensor, rounds: int = 2) -> Tensor:
    """Returns labels [N] of features [N, D]: the centroid nearest by cosine. In the first round a centroid is the mean
    of all rows weighted by softmax(scores [N, C]), then the mean of the rows with its label. A class without such rows
    is dropped."""
    rows = nn.functional.normalize(torch.cat([features, torch.ones_like(features[:, :1])], 1), dim=1)
    share = scores.softmax(1)
    for _ in range(rounds):
        weight = share.sum(0)
        centroids = nn.functional.normalize((share.T @ rows) / weight.clamp_min(1e-8)[:, None], dim=1)
        labels = (rows @ centroids.T).masked_fill(weight == 0, -torch.inf).argmax(1)
        share = nn.functional.one_hot(labels, scores.shape[1]).to(rows.dtype)
    return labels
