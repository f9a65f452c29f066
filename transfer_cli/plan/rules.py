"""The selection rules of a stage, and the snapshot that later stages get."""

from collections.abc import Sequence

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.plan import Json
from transfer_cli.plan.slot import Slot
from transfer_cli.plan.tasks import task_of
from transfer_cli.selection_rules import LABEL_FREE


def rules_of(context: Context, state: State, slot: Slot) -> list[str]:
    """The rules that can select a snapshot, except `final`. A rule that reads validation labels needs a stage that
    reads training labels of the same data, and a label-free rule needs a stage that reads unlabelled target rows. No
    rules for a method that trains no head."""
    if not slot.teaches:
        return []
    labelled = set(slot.labelled)
    rules = [f"{side}_val" for side in ("source", "target") if side in labelled and slot.data(context, side).has("val")]
    if "target" not in slot.unlabelled or not context.target.has("val", labelled=False):
        return rules
    if not _predicts_classes(context, state, slot):
        return rules
    return [*rules, *(rule for rule, source in LABEL_FREE.items() if not source or "source_val" in rules)]


def _predicts_classes(context: Context, state: State, slot: Slot) -> bool:
    """Whether the net predicts classes in this stage: this stage trains the head, or an earlier stage did."""
    task = task_of(context.values, context.target)
    if "classes" not in task.offers:
        return False
    return bool(slot.labelled) or (state.classes is not None and state.may_have(task.head))


def held_out(context: Context, slot: Slot, rule: str) -> Json:
    """The keys of the validation data that a rule reads, for the spec of the stage."""
    seed = slot.seed(context)
    if rule not in LABEL_FREE:
        return slot.data(context, rule.removesuffix("_val")).key("val", labelled=True, seed=seed)
    target = {"target": context.target.key("val", labelled=False, seed=seed)}
    if not LABEL_FREE[rule]:
        return target
    return target | {"source": slot.data(context, "source").key("val", labelled=True, seed=seed)}


def chosen_rule(slot: Slot, rules: Sequence[str]) -> str:
    """The rule whose snapshot later stages get. Raises ConfigError if the stage has no such rule."""
    rule = str(slot.node["rule"])
    if rule in rules:
        return rule
    if slot.name == "pretrain" and rule == "source_val":  # the default, if the stage has no validation
        return "final"
    fault = "this stage keeps no such snapshot"
    raise ConfigError(Fault(f"{slot.name}.rule", fault, rule, tuple(rules), rules[0]))


def marks_of(slot: Slot, steps: int) -> tuple[str, ...]:
    """The names at_1 .. at_T of the evenly spaced snapshots that `marks: T` requests. Raises ConfigError if the stage
    has no steps, or fewer than T."""
    marks = slot.node.get("marks")
    if marks is None:
        return ()
    key = f"{slot.name}.marks"
    if not slot.method.steps:
        raise ConfigError(Fault(key, f"{slot.called} has no steps to take snapshots between", str(marks)))
    if marks > steps:
        text = f"the stage has {steps:,} steps; allowed: 1 to {steps:,}"
        raise ConfigError(Fault(key, text, str(marks), do=f"{key}={steps}"))
    return tuple(f"at_{number}" for number in range(1, marks + 1))
