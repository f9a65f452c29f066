"""Self-ensembling: the net is trained to agree on the target with its own moving average, which is handed on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Ema, Loss, MethodInputs, Progress, Range, Stream
from transfer_cli.losses.consistency import consistency, imbalance
from transfer_cli.methods._aligned import Aligned


class MeanTeacher(Aligned):
    """French et al. 2018, arXiv:1706.05208: source cross-entropy + weight * consistency on target rows between the net
    (strong view) and its teacher (weak view), for rows where the teacher's confidence is above `threshold` (section
    3.3) + balance * class imbalance of these rows (section 3.4). The teacher is a moving average of the net with decay
    `decay` (Tarvainen & Valpola 2017, arXiv:1703.01780). Unlike in the paper, source and target share the BatchNorm
    statistics of a batch."""

    streams = {
        "source": Stream(),
        "target": Stream(labelled=False, views=("weak", "strong")),
        "few": Stream(side="target", optional=True),
    }

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 3.0,
        threshold: Annotated[float, Range(0, 1)] = 0.968,
        balance: Annotated[float, Range(0)] = 0.005,
        decay: Annotated[float, Range(0, 1)] = 0.99,
    ) -> None:
        super().__init__(given)
        self.weight, self.threshold, self.balance = weight, threshold, balance
        self.teacher = Ema(given.net, decay)

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        weak, strong = batch["target"].views
        with torch.no_grad():
            teacher_scores = self.task.forward(self.teacher.module, weak)
        both = self.both({**batch, "target": replace(batch["target"], inputs=strong)})
        distance, share = consistency(both.target_scores, teacher_scores, self.threshold)
        value = both.label_loss + self.weight * distance + self.balance * share * imbalance(both.target_scores)
        logs = {"label": both.label_loss, "consistency": distance, "confident": share}
        yield Loss("net", value, logs, weight=len(batch["source"]))

    def after(self, batch: dict[str, Batch], at: Progress, logs: dict[str, Tensor]) -> None:
        self.teacher.update(self.net)

    def result(self) -> dict[str, Any]:
        return {"net": self.teacher.module}
