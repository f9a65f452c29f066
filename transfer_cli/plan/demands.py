"""What a method asks of the stage it fills, beyond its streams: told before anything is trained."""

from collections.abc import Mapping

from transfer_cli.config.signatures import Signature
from transfer_cli.errors import ConfigError, Fault


def batches_fit(name: str, chosen: Signature, batches: Mapping[str, int], rows: Mapping[str, tuple[int, str]]) -> None:
    """A method that compares the sides of a batch wants whole batches of both: ConfigError where `batches` of a stream
    are larger than its `rows`, (how many, whose). Other methods, and streams of a few labels, take what is there."""
    if not chosen.coupled:
        return
    for stream, (count, title) in rows.items():
        if batches[stream] > count and not chosen.streams[stream]["optional"]:
            text = f"{title} has {count:,} rows for {name}; allowed: 1 to {count:,}"
            raise ConfigError(Fault("trainer.batch", text, str(batches[stream]), do=f"trainer.batch={count}"))


def is_taught(name: str, method: str, chosen: Signature, *, taught: bool) -> None:
    """Raises ConfigError where the method adapts a net that knows the classes, and no stage before has taught it."""
    if chosen.flags.get("taught") and not taught:
        text = "adapts a net that knows the classes, and no stage before it learns them"
        raise ConfigError(Fault(name, text, method, do="pretrain=supervised, or weights=RUN"))
