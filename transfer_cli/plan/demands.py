"""Requirements of a method on its slot: data, tasks, a trained head, full batches. Checked before training."""

from transfer_cli.config.signatures import signature
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.plan import Json
from transfer_cli.plan.slot import Slot
from transfer_cli.plan.tasks import task_of


def needs_source(context: Context, slot: Slot) -> None:
    """Raises DataError if the method reads a source and there is none."""
    if "source" in slot.sides.values() and context.source is None:
        do = "source=NAME, weights=..., or strategy=scratch"
        raise DataError(Fault(f"{slot.name}={slot.called}", "needs a source, and source is none", do=do))


def can_learn(context: Context, slot: Slot) -> None:
    """Raises ConfigError if the task of the data does not offer what the method needs."""
    for side in slot.sides.values():
        task = task_of(context.values, slot.data(context, side))
        if not task.meets(slot.method.needs):
            text = f"cannot learn {task.name}, and that is the task of {slot.data(context, side).title}"
            raise ConfigError(Fault(slot.name, text, slot.called, do="fine_tune=full or partial"))


def is_taught(context: Context, state: State, slot: Slot) -> None:
    """Raises ConfigError if the method adapts a net with a trained head, and no earlier stage has trained one."""
    taught = state.classes is not None or context.inherited is not None
    if slot.method.flags.get("taught") and not taught:
        text = "adapts a net that has learned the classes, and no earlier stage learns them"
        raise ConfigError(Fault(slot.name, text, slot.called, do="pretrain=supervised, or weights=RUN"))


def samplers_fit(context: Context, slot: Slot, streams: Json) -> None:
    """Raises ConfigError if a sampler would choose rows by labels, and the stream has no labels, or its task does not
    offer what the sampler needs."""
    for name, stream in streams.items():
        if "sampler" not in stream:
            continue
        sampler, data = stream["sampler"]["sampler"], slot.data(context, stream["side"])
        task, needs = task_of(context.values, data), signature("sampler", sampler, context.plugins).needs
        if not stream["labelled"]:
            text = f"chooses rows by their labels, and the stream {name} of {slot.called} has none"
        elif not task.meets(needs):
            text = f"chooses rows by their {' and '.join(needs)}, and the task of {data.title} is {task.name}"
        else:
            continue
        raise ConfigError(Fault(f"{slot.name}.feeds.{name}.sampler", text, sampler, do="leave it out"))


def batches_fit(context: Context, slot: Slot, streams: Json, trainer: Json) -> None:
    """Raises ConfigError if a method whose loss couples the rows of a batch gets a stream with fewer rows than its
    batch. Other methods, and optional streams with a few labels, accept smaller batches."""
    if not slot.method.coupled:
        return
    for name, stream in streams.items():
        data, batch = slot.data(context, stream["side"]), stream.get("batch", trainer["batch"])
        count = len(data.rows(stream["part"], labelled=stream["labelled"], seed=slot.seed(context)).index)
        if batch > count and not slot.method.streams[name]["optional"]:
            text = f"{data.title} has {count:,} rows for {slot.name}; allowed: 1 to {count:,}"
            raise ConfigError(Fault("trainer.batch", text, str(batch), do=f"trainer.batch={count}"))
