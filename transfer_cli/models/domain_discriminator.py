"""The discriminator of adversarial adaptation: one score a row, trained to separate source from target."""

from torch import Tensor, nn


class DomainDiscriminator(nn.Module):
    """Two hidden layers with BatchNorm and ReLU, then one score: features [B, D] -> [B]. A larger score means more
    source-like. After Ganin et al. 2016, arXiv:1505.07818; width and BatchNorm are those of the
    Transfer-Learning-Library."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            nn.Linear(hidden, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.layers(features).squeeze(1)
        return scores
