"""Explains the answer of a finished run for one image or text: a map or token values for each probable class, with the
deletion test."""

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

MIN_PROBABILITY = 0.2  # classes of at least this probability are explained, and always the most probable one
MAX_CLASSES = 3
STEPS = 8  # occlusion steps across an image


@dataclass(frozen=True)
class Reason:
    """The explanation of one class. `by`: the method. For an image: `drawing`. For a text: `pieces`, which together
    give the text, each with its contribution to the class's score."""

    label: str
    by: str
    test: Deletion
    drawing: Image.Image | None = None
    pieces: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Answer:
    """Probability of each class, and the explanations of the probable classes."""

    chances: dict[str, float]
    reasons: list[Reason]


class Explaining:
    """Explains answers of an engine.predict.Predicting. `by` names a method; "" selects the first one that fits the
    net. Raises ConfigError if rows of this kind cannot be shown, or the net does not have the method."""

    def __init__(self, predicting: Any, by: str = "") -> None:
        self.predicting, self.by = predicting, by
        self.shows = predicting.kind.explained
        if not self.shows:
            text = f"the net of the run reads {predicting.kind.noun}, which cannot be shown"
            raise ConfigError(Fault("explain", text))
        if self.shows == "tokens" and not predicting.differentiable:
            text = "the answers of the run come from a predictor on stored rows, not from the tokens of the text"
            raise ConfigError(Fault("explain", text, do="strategy=linear_probe or fine_tune gives the net a head"))
        if self.shows == "tokens":
            self._check_method(("gradients",))

    def row(self, row: Any) -> Answer:
        """Explains a new row: an image or its path, or a text. Raises DataError if it cannot be read."""
        return self.text(row) if self.shows == "tokens" else self.picture(row)

    def picture(self, image: Any) -> Answer:
        """Explains a decoded image, or the file at a path."""
        shown = self.predicting.opened(image)
        pixels = self.predicting.inputs([shown])["pixels"]
        chances = self._probabilities(self._scores(pixels))
        by = self._method(pixels)
        explained = self._explained_classes(chances)[: 1 if by == "rollout" else MAX_CLASSES]
        return Answer(chances, [self._of_picture(shown, pixels, by, label) for label in explained])

    def text(self, text: str) -> Answer:
        """Explains a text. Raises DataError for a text without tokens."""
        ids, offsets, free = self._tokens(text)
        inputs = {"ids": ids[None], "mask": torch.ones_like(ids, dtype=torch.bool)[None]}
        with torch.no_grad():
            chances = self._probabilities(self.predicting.scores(inputs))
        pieces = [text[before:end] for before, end in pairwise([0, *accumulate((end for _, end in offsets), max)])]
        return Answer(
            chances, [self._of_text(inputs, pieces, free, label) for label in self._explained_classes(chances)]
        )

    def _of_picture(self, image: np.ndarray, pixels: Tensor, by: str, label: str) -> Reason:
        index = self.predicting.classes.index(label)
        heat = self._map(by, pixels, index)
        if by != "occlusion" and float(heat.max()) <= float(heat.min()):  # Grad-CAM is empty for this class
            if self.by:
                raise DataError(Fault("picture", f"{by} finds no evidence for {label}", do="--by occlusion"))
            by, heat = "occlusion", self._map("occlusion", pixels, index)
        values = interpolate(heat[None, None], pixels.shape[2:], mode="bilinear")[0, 0]
        mask = deletion.marked(values)
        test = deletion.of_pixels(self._scores, pixels, mask, index)
        return Reason(label, by, test, overlay(image, values.clamp_min(0).numpy(), mask.numpy()))

    def _map(self, by: str, pixels: Tensor, label: int) -> Tensor:
        if by == "gradcam":
            return gradcam(self.predicting.net, self._scores, pixels, label)
        if by == "rollout":
            return rollout(self._scores, pixels)
        if by == "gradients":
            return gradients.of_pixels(self._scores, pixels, label)
        return occlusion(self._scores, pixels, label, max(1, pixels.shape[-1] // STEPS))

    def _of_text(self, inputs: dict[str, Tensor], pieces: list[str], free: Tensor, label: str) -> Reason:
        index = self.predicting.classes.index(label)
        values = gradients.of_tokens(self.predicting.net, self.predicting.scores, inputs, index)
        mask = torch.zeros_like(free)
        mask[free] = deletion.marked(values[free])
        test = deletion.of_tokens(self.predicting.scores, inputs, mask, free, index)
        shown = [(piece, float(value)) for piece, value, is_free in zip(pieces, values, free) if is_free]
        return Reason(label, "gradients", test, pieces=shown)

    def _tokens(self, text: str) -> tuple[Tensor, list[tuple[int, int]], Tensor]:
        """Returns the token ids, their (start, end) positions in the text, and which tokens belong to the text (True)
        or are special tokens (False)."""
        tokenizer = tokenizer_of(self.predicting.spec["model"], self.predicting.context.cache)
        assert tokenizer is not None, "called only for a net that reads texts"
        encoded, length = tokenizer.inner.encode(text), int(self.predicting.spec["model"]["input"]["length"])
        free = torch.tensor([not special for special in encoded.special_tokens_mask[:length]], dtype=torch.bool)
        if not bool(free.any()):
            raise DataError(Fault("text", "is empty"))
        return torch.tensor(encoded.ids[:length]), encoded.offsets[:length], free

    def _scores(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.predicting.scores({"pixels": pixels})
        return scores

    def _probabilities(self, scores: Tensor) -> dict[str, float]:
        return dict(zip(self.predicting.classes, scores.detach().softmax(1)[0].tolist(), strict=True))

    def _explained_classes(self, chances: dict[str, float]) -> list[str]:
        """Returns the most probable class, and up to MAX_CLASSES in total with a probability of at least
        MIN_PROBABILITY."""
        ordered = sorted(chances, key=lambda label: -chances[label])
        return [label for i, label in enumerate(ordered[:MAX_CLASSES]) if i == 0 or chances[label] >= MIN_PROBABILITY]

    def _method(self, pixels: Tensor) -> str:
        """Returns the requested method, or the first one that fits the net."""
        available: tuple[str, ...] = ("occlusion",)
        if self.predicting.differentiable:
            available = methods(self.predicting.net, self._scores, pixels)
        self._check_method(available)
        return self.by or available[0]

    def _check_method(self, available: tuple[str, ...]) -> None:
        """Raises ConfigError if the requested method is not available."""
        if self.by and self.by not in available:
            text = f"the answers of this run are explained by {' or '.join(available)}"
            raise ConfigError(Fault("--by", text, self.by))


def methods(net: Any, scores: Callable[[Tensor], Tensor], pixels: Tensor) -> tuple[str, ...]:
    """Returns the methods that fit an image net, best first: roll-out if attention can be followed through all layers;
    Grad-CAM if the net has feature maps and no attention; occlusion and gradients always."""
    with Attention() as attention, feature_maps(net) as maps, torch.no_grad():
        scores(pixels)
    if attention.weights:
        return ("rollout", "occlusion", "gradients") if attention.can_be_followed() else ("occlusion", "gradients")
    return ("gradcam", "occlusion", "gradients") if maps else ("occlusion", "gradients")
