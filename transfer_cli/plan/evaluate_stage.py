"""Plans the last stage, `evaluate`: the scored snapshots, the rows, predictor and views."""

from transfer_cli.config.signatures import signature
from transfer_cli.data.dataset import DataSet, Part
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan import classes
from transfer_cli.plan.code_of_stage import UsedCode, code_of
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.episodes import enough_for_episodes
from transfer_cli.plan.plan import Json, Stage, key_of
from transfer_cli.plan.tasks import PlannedTask, task_of
from transfer_cli.plan.views import views_of


def plan_evaluation(context: Context, state: State) -> State:
    """The state with the stage `evaluate`. Raises ConfigError or DataError if net, data and predictor do not fit."""
    node, task = context.values["evaluate"], task_of(context.values, context.target)
    _check(context, state, task)
    names = () if _has_predictor(node) else classes.scored(state.classes, state.open, context.target, task)
    target = context.data("target", names)
    if not target.has(node["part"]):
        text, do = f"{target.title} has no labelled {node['part']} rows", "data.val_shots=5, or data.fold=0"
        raise DataError(Fault("evaluate.part", text, node["part"], do=do))
    spec = _spec(context, state, target, task) | _further(context, state, target)
    code = code_of(context, _used_code(spec, task))
    spec["code"] = code.hashes
    stage = Stage(
        "evaluate",
        node["predictor"]["predictor"],
        _described(context, node, names),
        spec,
        key_of(spec),
        spec["headline"],
        tuple(spec["nets"]),
        context.seed,
        names,
    )
    return state.with_stage(stage, code.files)


def _has_predictor(node: Json) -> bool:
    return bool(node["predictor"]["predictor"] != "none")


def _check(context: Context, state: State, task: PlannedTask) -> None:
    """Raises ConfigError or DataError if the predictor, the episodes or the net's head do not fit the data."""
    node, target = context.values["evaluate"], context.target
    predictor = node["predictor"]["predictor"]
    if not _has_predictor(node):
        if node["way"]:
            do = "predictor=prototypes"
            raise ConfigError(Fault("evaluate.way", "episodes need a predictor", str(node["way"]), do=do))
        _head_is_taught(state, task, target)
        return
    needs = signature("predictor", predictor, context.plugins).needs or ("classes",)
    if not task.meets(needs):
        text = f"scores classes, and the task of {target.title} is {task.name}"
        raise ConfigError(Fault("predictor", text, predictor, do="strategy=fine_tune or partial"))
    if node["way"]:
        enough_for_episodes(target, node, context.seed)


def _head_is_taught(state: State, task: PlannedTask, target: DataSet) -> None:
    """Raises ConfigError if the net would be scored with a head that has never been trained."""
    if state.may_have(task.head):
        return
    text = f"no stage teaches the net {task.name}, the task of {target.title}; its head would be a random one"
    raise ConfigError(Fault("evaluate", text, do="fine_tune=full or linear_probe, predictor=knn, or weights=RUN"))


def _spec(context: Context, state: State, target: DataSet, task: PlannedTask) -> Json:
    """The part of the spec that every evaluation has, without the hashes of code."""
    node, part = context.values["evaluate"], context.values["evaluate"]["part"]
    spec: Json = {
        "kind": "evaluate",
        "nets": _nets(state),
        "headline": state.last.rule if state.last else "final",
        "model": context.model,
        part: target.key(part, labelled=True, seed=context.seed),
        "classes": list(target.names),
        "predictor": node["predictor"],
    }
    if part != "test":
        spec["part"] = part
    if task.spec:
        spec["task"] = task.spec
    return spec


def _nets(state: State) -> Json:
    """References to all snapshots of the last stage: those of its selection rules and its marks."""
    if not state.has_net:
        return {"final": state.net}
    last = state.last
    assert last is not None, "a stage produced the net"
    marks = [f"at_{number}" for number in range(1, last.spec.get("marks", 0) + 1)]
    return {rule: {**state.net, "rule": rule} for rule in (*last.rules, *marks)}


def _further(context: Context, state: State, target: DataSet) -> Json:
    """The part of the spec that only some evaluations have: the comparison of domains, the rows of a predictor,
    episodes, views."""
    spec: Json = {}
    node, source = context.values["evaluate"], context.source
    if state.unaligned and source is not None and not target.known:
        headline = _nets(state)[state.last.rule if state.last else "final"]
        spec["domains"] = _source_rows(context, source) | {"before": state.unaligned, "after": headline}
    if _has_predictor(node):
        spec["support"] = context.target.key("train", labelled=True, seed=context.seed)
        if node["way"]:
            shape = {key: node[key] for key in ("way", "shots", "queries", "draws")}
            spec |= {"episodes": shape, "seed": context.seed}
    if views := views_of(node, target, task_of(context.values, target)):
        spec["views"] = views
    return spec


def _source_rows(context: Context, source: DataSet) -> Json:
    """The rows of the source that are compared with the scored rows."""
    part: Part = "val" if source.has("val") else "train"
    return {"source": source.key(part, labelled=True, seed=context.seed), "source_part": part}


def _used_code(spec: Json, task: PlannedTask) -> UsedCode:
    side_by_side = "domains" in spec
    return UsedCode(
        predictor=spec["predictor"]["predictor"],
        sides=("target", "source") if side_by_side else ("target",),
        tasks=(task,),
        scored=(task,),
        guessed=side_by_side,
    )


def _described(context: Context, node: Json, names: tuple[str, ...]) -> str:
    count = len(context.target.rows(node["part"], seed=context.seed).index)
    what = f"{context.target.title} {node['part']} {count:,}"
    if names:
        what += f", over the net's {len(names)} classes"
    if node["way"]:
        what += f", {node['draws']} draws of {node['way']}-way {node['shots']}-shot"
    return what
