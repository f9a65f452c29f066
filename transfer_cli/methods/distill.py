"""Distillation: a net learns the softened answers of a finished net beside the labels."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Frozen, Loss, Method, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.losses.distillation import distillation


class Distill(Method):
    """Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2: (1 - weight) * loss of the labels + weight * T^2 *
    KL(teacher || student) at `temperature` T. `teacher` names a run, or a weights file of `teacher_model`; it sees the
    same augmented rows. Its classes are matched by name; if it knows more of them than the data have, its softmax is
    over those of the data. A head whose classes have no names is taken to have those of the data, in their order, if it
    has as many outputs. Raises ConfigError if the teacher lacks a class."""

    streams = {"target": Stream()}
    needs = ("classes", "loss")
    parents = ("teacher",)

    def __init__(
        self,
        given: MethodInputs,
        *,
        teacher: str,
        teacher_model: str | None = None,
        temperature: Annotated[float, Range(0, above=True)] = 4.0,
        weight: Annotated[float, Range(0, 1)] = 0.9,
    ) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["target"]
        self.temperature, self.weight = temperature, weight
        self.teacher: Frozen = given.parts["teacher"]
        place = _places(self.net.classes[self.task.head], self.teacher.module, self.task.head)
        self.place: Tensor
        self.register_buffer("place", torch.tensor(place), persistent=False)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["target"]
        scores = self.task.forward(self.net, rows.inputs)
        label, soft = self.task.loss(scores, rows), distillation(scores, self._wanted(rows), self.temperature)
        value = (1 - self.weight) * label + self.weight * soft
        yield Loss("net", value, {"label": label, "distillation": soft}, weight=self.task.weight(rows))

    @torch.no_grad()
    def _wanted(self, rows: Batch) -> Tensor:
        """The teacher's scores [B, C] in the order of the student's classes."""
        scores: Tensor = self.task.forward(self.teacher, rows.inputs)
        return scores.index_select(1, self.place)


def _places(classes: list[str], teacher: Any, head: str) -> list[int]:
    """Which output of the teacher stands for each class."""
    if head not in teacher.heads:
        raise ConfigError(
            Fault("fine_tune.teacher", "its net has no head for classes", do="choose a run that classifies")
        )
    known, outputs = teacher.classes[head], teacher.heads[head].out_features
    if known is None and outputs != len(classes):
        text = f"its weights do not name their {outputs:,} classes, and the data have {len(classes):,}"
        raise ConfigError(Fault("fine_tune.teacher", text, do="choose a run that was trained on these classes"))
    if known is None:
        return list(range(outputs))
    if missing := [name for name in classes if name not in known]:
        text = f"it does not know {len(missing):,} of {len(classes):,} classes, first {missing[0]}"
        raise ConfigError(Fault("fine_tune.teacher", text, do="choose a run that was trained on these classes"))
    return [known.index(name) for name in classes]
