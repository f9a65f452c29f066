"""Marks: evenly spaced snapshots of a training, scored in addition to those of selection rules. A mark is written to
the stage's result when its step is reached, so that resume files need not contain it."""

from typing import Any

from transfer_cli.contracts import Method
from transfer_cli.engine.handed_on import HandedOn
from transfer_cli.engine.stage_context import model_file
from transfer_cli.store.claim import Claim


def mark_steps(marks: int, steps: int) -> dict[str, int]:
    """The names at_1 to at_<marks>, each with the number of steps after which it is taken; the last is taken at the end
    of training.

    >>> mark_steps(3, 10)
    {'at_1': 3, 'at_2': 7, 'at_3': 10}"""
    return {f"at_{i + 1}": max(1, round(steps * (i + 1) / marks)) for i in range(marks)}


class Marks:
    """The marks of one stage."""

    def __init__(self, steps: dict[str, int], claim: Claim, handed_on: HandedOn) -> None:
        self.steps, self.claim, self.handed_on = steps, claim, handed_on
        self._files: dict[str, tuple[int, str]] = {}

    def reached(self, step: int, method: Method) -> bool:
        """Writes the snapshots that are due after `step` steps; returns True if there are any. Afterwards `method` has
        the same tensors as before, and its modules are in eval mode."""
        names = [name for name, at in self.steps.items() if at == step]
        if not names:
            return False
        state = {name: value.detach().clone() for name, value in method.state_dict().items()}
        for name in names:
            self.handed_on.write(name, method)
            method.load_state_dict(state)  # `finish` may have changed the tensors
            file = model_file({"rule": name})
            self._files[file] = self.claim.written(file)
        return True

    def state(self) -> dict[str, Any]:
        """The part of a resume file: size and hash of each file written so far."""
        return {"files": self._files, "rests": self.handed_on.omits}

    def load(self, state: dict[str, Any]) -> bool:
        """Continues with the files written before a resume; False if one of them is missing or has changed."""
        self._files = {name: (int(size), str(digest)) for name, (size, digest) in state["files"].items()}
        self.handed_on.omits = bool(state["rests"])
        return all(self.claim.take_up(name, *facts) for name, facts in self._files.items())
