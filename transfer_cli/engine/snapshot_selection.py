"""Snapshot selection: which snapshots of a stage are passed to later stages. `final` is the last state. `source_val`
and `target_val` select the best by the task's primary metric on validation rows (for classes: accuracy, then lower NLL,
then the earlier step). The label-free rules select by a validator of metrics/label_free.py. No rule sees test rows."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Method


def validation_steps(steps: int, times: int) -> frozenset[int]:
    """The steps after which the net is validated: `times` evenly spaced steps, including the last."""
    return frozenset(round(steps * (i + 1) / times) for i in range(times)) - {0}


class SnapshotSelection:
    """The best snapshot (the whole state of the method) by each rule, with its step and score."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        self.rules = rules
        self._facts: dict[str, dict[str, Any]] = {}
        self._states: dict[str, dict[str, Tensor]] = {}
        self._newest: tuple[int, dict[str, Tensor]] = (-1, {})  # rules that select the same step share its snapshot

    def keep(
        self, rule: str, step: int, score: tuple[float, float], row: Mapping[str, float], method: Method | None
    ) -> None:
        """Stores the state of `method` for `rule` if `score` is better than the best so far. Without `method` only step
        and score are stored: the state is then the last one of training."""
        best = self._facts.get(rule)
        if best and tuple(best["score"]) >= score:
            return
        self._facts[rule] = {"step": step, "score": list(score), **dict(row)}
        if method is not None:
            self._states[rule] = self._snapshot(step, method)

    def _snapshot(self, step: int, method: Method) -> dict[str, Tensor]:
        if self._newest[0] != step:
            self._newest = step, {name: value.detach().clone() for name, value in method.state_dict().items()}
        return self._newest[1]

    def best(self, metrics: Mapping[str, str]) -> dict[str, float]:
        """The best validation metrics so far, for the screen, by names such as `source_val/accuracy`. `metrics`: the
        metric by which each rule selects."""
        selected = {f"{rule}/{metrics[rule]}": fact for rule, fact in self._facts.items() if rule in metrics}
        return {name: fact[name] for name, fact in selected.items()}

    def handed_on(self, method: Method) -> Iterator[str]:
        """Loads the snapshot of each rule into `method`, one after the other, the final state first. Yields the name of
        the rule."""
        self._facts.setdefault("final", {"step": 0})
        yield "final"
        for rule in self.rules:
            if rule != "final" and rule in self._states:
                method.load_state_dict(self._states[rule])
                yield rule

    def facts(self) -> dict[str, Any]:
        """Step, score and validation metrics of the snapshot of each rule."""
        return {rule: dict(fact) for rule, fact in self._facts.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all snapshots, for a resume file."""
        return {f"kept.{rule}.{name}": value for rule, state in self._states.items() for name, value in state.items()}

    def load(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restores `facts` and `tensors` from a resume file."""
        self._facts = {rule: dict(fact) for rule, fact in facts.items()}
        for rule in self._facts.keys() - {"final"}:
            prefix = f"kept.{rule}."
            self._states[rule] = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
