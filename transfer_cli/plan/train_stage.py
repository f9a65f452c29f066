"""Plans a training stage: its streams, rules, snapshots and key, and the state after it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan import classes, demands
from transfer_cli.plan.code_of_stage import Code, UsedCode, code_of
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.parents import Parent, no_hidden_files, parents_of
from transfer_cli.plan.plan import Json, Stage, key_of
from transfer_cli.plan.rules import chosen_rule, held_out, marks_of, rules_of
from transfer_cli.plan.slot import Slot, slot_of
from transfer_cli.plan.streams import described, streams_of
from transfer_cli.selection_rules import LABEL_FREE

RESERVED = ("seed", "rule", "trainer", "feeds", "marks")


def plan_slot(context: Context, state: State, name: str) -> State:
    """The state after the slot `name`: empty, given by `weights`, or trained. Raises ConfigError, DataError or
    StoreError if the method does not fit the data or the net."""
    method = context.values[name]["method"]
    if method == "none":
        return state.with_stage(Stage(name, "none", "none", {}))
    if method == "given":
        return _given(context, state, name)
    return _trained(context, state, slot_of(context, name))


def _given(context: Context, state: State, name: str) -> State:
    if context.inherited is None:
        raise ConfigError(Fault(name, "there are no weights to give", "given", do="weights=FILE, imagenet or a RUN"))
    stage = replace(context.inherited, name=name)
    return replace(state.with_stage(stage).handing_on(context.inherited), taught=context.inherited_heads)


def _trained(context: Context, state: State, slot: Slot) -> State:
    demands.needs_source(context, slot)
    demands.can_learn(context, slot)
    demands.is_taught(context, state, slot)
    slot = replace(slot, names=_numbered_by(context, slot))
    if slot.is_alignment and state.has_net and not state.unaligned:
        state = replace(state, unaligned=state.net)
    stage, files = _stage(context, state, slot)
    return _taught(context, state.with_stage(stage, files).handing_on(stage), slot)


def _numbered_by(context: Context, slot: Slot) -> tuple[str, ...]:
    """The classes by which labels are numbered if the classes of source and target differ; otherwise (). Raises
    DataError if the method does not allow this difference."""
    if "source" not in slot.labelled or "target" not in slot.unlabelled:
        return ()
    source = context.data("source")
    return classes.learned(f"{slot.name}={slot.called}", slot.method.classes, source, context.target)


def _taught(context: Context, state: State, slot: Slot) -> State:
    """The state with the heads that the stage trains, and their classes."""
    if not (slot.labelled and slot.teaches):
        return state
    heads = frozenset(task.head for task in slot.tasks(context, slot.labelled))
    return replace(
        state,
        classes=slot.data(context, slot.labelled[-1]).names,
        open=slot.method.classes == "open",
        taught=None if state.taught is None else state.taught | heads,
    )


def _stage(context: Context, state: State, slot: Slot) -> tuple[Stage, frozenset[Path]]:
    """The stage, and the files whose content is part of its key."""
    trainer = context.values["trainer"] | slot.node["trainer"]
    validated = rules_of(context, state, slot) if slot.method.steps and trainer["validations"] else []
    streams, parents = streams_of(context, slot), parents_of(context, slot)
    demands.samplers_fit(context, slot, streams)
    demands.batches_fit(context, slot, streams, trainer)
    no_hidden_files(slot)
    code = _code(context, slot, streams, validated, parents)
    spec = _spec(context, state, slot, streams) | {"code": code.hashes}
    if parents:
        spec["parents"] = {parent.setting: parent.ref for parent in parents}
    if slot.method.steps:  # a method without steps uses no random numbers and no settings of the trainer
        spec |= _training(context, slot, trainer, validated)
    if marks := marks_of(slot, trainer["steps"]):
        spec["marks"] = len(marks)
    rules, seed = ("final", *validated), slot.seed(context)
    what = f"{slot.called}, " + " + ".join(described(context, slot))
    rule = chosen_rule(slot, rules)
    stage = Stage(slot.name, slot.node["method"], what, spec, key_of(spec), rule, rules, seed, slot.names)
    return stage, code.files | {file for parent in parents for file in parent.files}


def _spec(context: Context, state: State, slot: Slot, streams: Json) -> Json:
    """The part of the spec that every training stage has, without the hashes of code."""
    left_out = (*RESERVED, *slot.method.parents)
    spec: Json = {
        "kind": "train",
        "method": {key: value for key, value in slot.node.items() if key not in left_out},
        "role": slot.role,
        "net": state.net if state.has_net else {"init": slot.seed(context)},
        "model": context.model,
        "streams": streams,
    }
    tasks = slot.tasks(context, slot.sides.values())
    return spec | next(({"task": task.spec} for task in tasks if task.spec), {})


def _training(context: Context, slot: Slot, trainer: Json, rules: Sequence[str]) -> Json:
    """The further part of the spec of a stage with steps."""
    seed = slot.seed(context)
    effective = trainer | {"precision": trainer["precision"] or context.values["model"]["precision"]}
    spec = {"seed": seed, "trainer": effective, "validation": {r: held_out(context, slot, r) for r in rules}}
    if context.values["oracle"] and _trains_target_head(context, slot):
        spec["oracle"] = slot.data(context, "target").key("test", labelled=True, seed=seed)
    return spec


def _trains_target_head(context: Context, slot: Slot) -> bool:
    """Whether the head that this stage trains has the classes of the target."""
    target = slot.data(context, "target").names
    return all(slot.data(context, side).names == target for side in slot.labelled)


def _code(context: Context, slot: Slot, streams: Json, rules: Sequence[str], parents: Sequence[Parent]) -> Code:
    scored = tuple({rule.removesuffix("_val") for rule in rules if rule not in LABEL_FREE})
    samplers = tuple(stream["sampler"]["sampler"] for stream in streams.values() if "sampler" in stream)
    used = UsedCode(
        method=slot.node["method"],
        samplers=samplers,
        sides=tuple(slot.sides.values()),
        tasks=slot.tasks(context, slot.sides.values()),
        scored=slot.tasks(context, scored),
        guessed=any(rule in LABEL_FREE for rule in rules),
        drawn=any(view != "none" for stream in streams.values() for view in stream["views"]),
        files=tuple(file for parent in parents for file in parent.code),
    )
    return code_of(context, used)
