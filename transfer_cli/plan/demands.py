"""What a method asks of the slot it fills: data, tasks, a taught net, whole batches. Checked before training."""

from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.plan import Json
from transfer_cli.plan.slot import Slot
from transfer_cli.plan.tasks import task_of


def needs_source(context: Context, slot: Slot) -> None:
    """Raises DataError where the method reads a source and there is none."""
    if "source" in slot.sides.values() and context.source is None:
        do = "source=NAME, weights=..., or strategy=scratch"
        raise DataError(Fault(f"{slot.name}={slot.called}", "needs a source, and source is none", do=do))


def can_learn(context: Context, slot: Slot) -> None:
    """Raises ConfigError where the task of the data does not offer what the method needs."""
    for side in slot.sides.values():
        task = task_of(context.values, slot.data(context, side))
        if not task.meets(slot.method.needs):
            text = f"cannot learn {task.name}, and that is the task of {slot.data(context, side).title}"
            raise ConfigError(Fault(slot.name, text, slot.called, do="fine_tune=full or partial"))


def is_taught(context: Context, state: State, slot: Slot) -> None:
    """Raises ConfigError where the method adapts a net that knows the classes, and no stage before has taught it."""
    taught = state.classes is not None or context.inherited is not None
    if slot.method.flags.get("taught") and not taught:
        text = "adapts a net that knows the classes, and no stage before it learns them"
        raise ConfigError(Fault(slot.name, text, slot.called, do="pretrain=supervised, or weights=RUN"))


def samplers_fit(context: Context, slot: Slot, streams: Json) -> None:
    """Raises ConfigError where a sampler would choose rows by labels that the stream must not see, or by classes that
    the data do not have."""
    for name, stream in streams.items():
        if "sampler" not in stream:
            continue
        data = slot.data(context, stream["side"])
        if stream["labelled"] and data.raw.has_classes:
            continue
        lacking = (
            f"{data.title} has no classes" if stream["labelled"] else f"the stream {name} of {slot.called} has none"
        )
        text = f"chooses rows by their labels, and {lacking}"
        where = f"{slot.name}.feeds.{name}.sampler"
        raise ConfigError(Fault(where, text, stream["sampler"]["sampler"], do="leave it out"))


def batches_fit(context: Context, slot: Slot, streams: Json, trainer: Json) -> None:
    """A method that compares the sides of a batch wants whole batches of both. Raises ConfigError where a stream has
    fewer rows than its batch. Other methods, and streams of a few labels, take what is there."""
    if not slot.method.coupled:
        return
    for name, stream in streams.items():
        data, batch = slot.data(context, stream["side"]), stream.get("batch", trainer["batch"])
        count = len(data.rows(stream["part"], labelled=stream["labelled"], seed=slot.seed(context)).index)
        if batch > count and not slot.method.streams[name]["optional"]:
            text = f"{data.title} has {count:,} rows for {slot.name}; allowed: 1 to {count:,}"
            raise ConfigError(Fault("trainer.batch", text, str(batch), do=f"trainer.batch={count}"))
