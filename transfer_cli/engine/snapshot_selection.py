"""Selection rules: which snapshot of a stage is handed on. `final` is the last state; `source_val` and `target_val`
the best by the task's first metric on validation rows (of classes: accuracy, ties: lower NLL, then the earlier); the
label-free ones are the best by a validator of metrics/label_free.py. None of them can see test rows."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Method


def validation_steps(steps: int, times: int) -> frozenset[int]:
    """After which steps the net is validated: `times` of them, evenly spaced, the last step included."""
    return frozenset(round(steps * (i + 1) / times) for i in range(times)) - {0}


class SnapshotSelection:
    """The best snapshot (a method's whole state) of each rule, with its step and score."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        self.rules = rules
        self._facts: dict[str, dict[str, Any]] = {}
        self._states: dict[str, dict[str, Tensor]] = {}
        self._newest: tuple[int, dict[str, Tensor]] = (-1, {})  # rules that choose one step share its snapshot

    def keep(
        self, rule: str, step: int, score: tuple[float, float], row: Mapping[str, float], method: Method | None
    ) -> None:
        """Keeps the state of `method` for `rule` if `score` is better than the one kept. Without `method` only step and
        score are kept: the state is the last one of training."""
        known = self._facts.get(rule)
        if known and tuple(known["score"]) >= score:
            return
        self._facts[rule] = {"step": step, "score": list(score), **dict(row)}
        if method is not None:
            self._states[rule] = self._snapshot(step, method)

    def _snapshot(self, step: int, method: Method) -> dict[str, Tensor]:
        if self._newest[0] != step:
            self._newest = step, {name: value.detach().clone() for name, value in method.state_dict().items()}
        return self._newest[1]

    def best(self, metrics: Mapping[str, str]) -> dict[str, float]:
        """Best validation so far, for the screen: by `source_val/accuracy`, the metric that each rule selects by."""
        kept = {f"{rule}/{metrics[rule]}": fact for rule, fact in self._facts.items() if rule in metrics}
        return {name: fact[name] for name, fact in kept.items()}

    def handed_on(self, method: Method) -> Iterator[str]:
        """Loads each rule's snapshot into `method` in turn, the final state first; gives the rule's name."""
        self._facts.setdefault("final", {"step": 0})
        yield "final"
        for rule in self.rules:
            if rule != "final" and rule in self._states:
                method.load_state_dict(self._states[rule])
                yield rule

    def facts(self) -> dict[str, Any]:
        return {rule: dict(fact) for rule, fact in self._facts.items()}

    def tensors(self) -> dict[str, Tensor]:
        return {f"kept.{rule}.{name}": value for rule, state in self._states.items() for name, value in state.items()}

    def load(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._facts = {rule: dict(fact) for rule, fact in facts.items()}
        for rule in self._facts.keys() - {"final"}:
            prefix = f"kept.{rule}."
            self._states[rule] = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
