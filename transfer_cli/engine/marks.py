"""Marks: evenly spaced snapshots of a training that are handed on beside those of the selection rules. Each is a file
of the stage's result as soon as its step is reached, so a resume file need not hold it."""

from typing import Any

from transfer_cli.contracts import Method
from transfer_cli.engine.handed_on import HandedOn
from transfer_cli.engine.stage_context import model_file
from transfer_cli.store.claim import Claim


def mark_steps(marks: int, steps: int) -> dict[str, int]:
    """at_1 to at_<marks>, each with the number of steps after which it is taken; the last is the end of training.

    >>> mark_steps(3, 10)
    {'at_1': 3, 'at_2': 7, 'at_3': 10}"""
    return {f"at_{i + 1}": max(1, round(steps * (i + 1) / marks)) for i in range(marks)}


class Marks:
    """The marks of one stage. `state` goes into resume files: size and hash of each file that is written by then."""

    def __init__(self, steps: dict[str, int], claim: Claim, handed_on: HandedOn) -> None:
        self.steps, self.claim, self.handed_on = steps, claim, handed_on
        self._files: dict[str, tuple[int, str]] = {}

    def reached(self, step: int, method: Method) -> bool:
        """Writes the snapshots due after `step` steps; True if there were any. `method` is left with the tensors it
        had, its modules in eval mode."""
        names = [name for name, at in self.steps.items() if at == step]
        if not names:
            return False
        state = {name: value.detach().clone() for name, value in method.state_dict().items()}
        for name in names:
            self.handed_on.write(name, method)
            method.load_state_dict(state)  # `finish` may have changed it
            file = model_file({"rule": name})
            self._files[file] = self.claim.written(file)
        return True

    def state(self) -> dict[str, Any]:
        return {"files": self._files, "rests": self.handed_on.rests}

    def load(self, state: dict[str, Any]) -> bool:
        """Takes up the files of before a resume; False if one of them is no longer as it was written."""
        self._files = {name: (int(size), str(digest)) for name, (size, digest) in state["files"].items()}
        self.handed_on.rests = bool(state["rests"])
        return all(self.claim.take_up(name, *facts) for name, facts in self._files.items())
