"""Why a finished run gives its answer for one picture or text: the map or the tokens of each likely class, with the
deletion test beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.explain import deletion, gradients
from transfer_cli.explain.deletion import Deletion
from transfer_cli.explain.gradcam import feature_maps, gradcam
from transfer_cli.explain.occlusion import occlusion
from transfer_cli.explain.overlay import overlay
from transfer_cli.explain.rollout import Attention, rollout
from transfer_cli.kinds.texts import tokenizer_of

LIKELY = 0.2  # classes at least as probable are explained, the first in any case
MOST = 3
STEPS = 8  # of occlusion, across a picture


@dataclass(frozen=True)
class Reason:
    """Why one class: a drawing for a picture; for a text its pieces, which together are the text, with what each adds
    to the class's score."""

    label: str
    by: str
    test: Deletion
    drawing: Image.Image | None = None
    pieces: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Answer:
    """Probability of each class, and reasons of the likely ones."""

    chances: dict[str, float]
    reasons: list[Reason]


class Explaining:
    """Around engine.predict.Predicting; `by` names a method, "" leaves it to the net. Raises ConfigError for rows of
    numbers, and for a method that the net does not have."""

    def __init__(self, predicting: Any, by: str = "") -> None:
        self.predicting, self.by = predicting, by
        self.shows = predicting.kind.explained
        if not self.shows:
            text = f"the net of the run reads {predicting.kind.noun}, which cannot be shown"
            raise ConfigError(Fault("explain", text))
        if self.shows == "tokens" and not predicting.differentiable:
            text = "the answers of the run come from a predictor on stored rows, not from its words"
            raise ConfigError(Fault("explain", text, do="strategy=linear_probe or fine_tune gives the net a head"))
        if self.shows == "tokens":
            self._only(("gradients",))

    def row(self, row: Any) -> Answer:
        """Of a new row: a picture or its path, or a text. Raises DataError if it cannot be read."""
        return self.text(row) if self.shows == "tokens" else self.picture(row)

    def picture(self, image: Any) -> Answer:
        """Of a decoded picture, or of the file at a path."""
        shown = self.predicting.opened(image)
        pixels = self.predicting.inputs([shown])["pixels"]
        chances = self._chances(self._scores(pixels))
        by = self._method(pixels)
        likely = self._likely(chances)[: 1 if by == "rollout" else MOST]
        return Answer(chances, [self._of_picture(shown, pixels, by, label) for label in likely])

    def text(self, text: str) -> Answer:
        """Raises DataError for a text without a token."""
        ids, offsets, free = self._tokens(text)
        inputs = {"ids": ids[None], "mask": torch.ones_like(ids, dtype=torch.bool)[None]}
        with torch.no_grad():
            chances = self._chances(self.predicting.scores(inputs))
        pieces = [text[before:end] for before, end in pairwise([0, *accumulate((end for _, end in offsets), max)])]
        return Answer(chances, [self._of_text(inputs, pieces, free, label) for label in self._likely(chances)])

    def _of_picture(self, shown: np.ndarray, pixels: Tensor, by: str, label: str) -> Reason:
        number = self.predicting.classes.index(label)
        small = self._map(by, pixels, number)
        if by != "occlusion" and float(small.max()) <= float(small.min()):  # Grad-CAM of a class nothing speaks for
            if self.by:
                raise DataError(Fault("picture", f"{by} finds nothing that speaks for {label}", do="--by occlusion"))
            by, small = "occlusion", self._map("occlusion", pixels, number)
        values = interpolate(small[None, None], pixels.shape[2:], mode="bilinear")[0, 0]
        mask = deletion.marked(values)
        test = deletion.of_pixels(self._scores, pixels, mask, number)
        return Reason(label, by, test, overlay(shown, values.clamp_min(0).numpy(), mask.numpy()))

    def _map(self, by: str, pixels: Tensor, label: int) -> Tensor:
        if by == "gradcam":
            return gradcam(self.predicting.net, self._scores, pixels, label)
        if by == "rollout":
            return rollout(self._scores, pixels)
        if by == "gradients":
            return gradients.of_pixels(self._scores, pixels, label)
        return occlusion(self._scores, pixels, label, max(1, pixels.shape[-1] // STEPS))

    def _of_text(self, inputs: dict[str, Tensor], pieces: list[str], free: Tensor, label: str) -> Reason:
        number = self.predicting.classes.index(label)
        values = gradients.of_tokens(self.predicting.net, self.predicting.scores, inputs, number)
        mask = torch.zeros_like(free)
        mask[free] = deletion.marked(values[free])
        test = deletion.of_tokens(self.predicting.scores, inputs, mask, free, number)
        shown = [(piece, float(value)) for piece, value, own in zip(pieces, values, free) if own]
        return Reason(label, "gradients", test, pieces=shown)

    def _tokens(self, text: str) -> tuple[Tensor, list[tuple[int, int]], Tensor]:
        """Numbers of the tokens, where each stands in the text, and which are of the text and not put around it."""
        tokenizer = tokenizer_of(self.predicting.spec["model"], self.predicting.context.cache)
        assert tokenizer is not None, "asked only of a net that reads texts"
        found, most = tokenizer.inner.encode(text), int(self.predicting.spec["model"]["input"]["length"])
        free = torch.tensor([not special for special in found.special_tokens_mask[:most]], dtype=torch.bool)
        if not bool(free.any()):
            raise DataError(Fault("text", "is empty"))
        return torch.tensor(found.ids[:most]), found.offsets[:most], free

    def _scores(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.predicting.scores({"pixels": pixels})
        return scores

    def _chances(self, scores: Tensor) -> dict[str, float]:
        return dict(zip(self.predicting.classes, scores.detach().softmax(1)[0].tolist(), strict=True))

    def _likely(self, chances: dict[str, float]) -> list[str]:
        ordered = sorted(chances, key=lambda label: -chances[label])
        return [label for i, label in enumerate(ordered[:MOST]) if i == 0 or chances[label] >= LIKELY]

    def _method(self, pixels: Tensor) -> str:
        """The method asked for, else the first that the net has."""
        known = methods(self.predicting.net, self._scores, pixels) if self.predicting.differentiable else ("occlusion",)
        self._only(known)
        return self.by or known[0]

    def _only(self, known: tuple[str, ...]) -> None:
        if self.by and self.by not in known:
            raise ConfigError(Fault("--by", f"the answers of this run are explained by {' or '.join(known)}", self.by))


def methods(net: Any, scores: Callable[[Tensor], Tensor], pixels: Tensor) -> tuple[str, ...]:
    """What fits a net of pictures, best first: roll-out where attention can be followed through all layers, Grad-CAM
    where it has feature maps and no attention; occlusion and gradients always."""
    with Attention() as seen, feature_maps(net) as maps, torch.no_grad():
        scores(pixels)
    if seen.found:
        return ("rollout", "occlusion", "gradients") if seen.follows() else ("occlusion", "gradients")
    return ("gradcam", "occlusion", "gradients") if maps else ("occlusion", "gradients")
