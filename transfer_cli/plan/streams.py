"""The streams of a slot's method: their spec, and their description for the screen."""

from collections.abc import Iterator

from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.slot import Slot


def streams_of(context: Context, slot: Slot) -> Json:
    """The spec of each stream: its data (source or target), the part, the views, the batch size and the sampler."""
    return {name: _stream(context, slot, name, side) for name, side in slot.sides.items()}


def _stream(context: Context, slot: Slot, name: str, side: str) -> Json:
    stream, data, feed = slot.method.streams[name], slot.data(context, side), slot.node["feeds"].get(name, {})
    views = [data.augment if view == "train" else view for view in stream["views"]]
    spec: Json = {
        "side": side,
        "part": stream["part"],
        "data": data.key(stream["part"], labelled=stream["labelled"], seed=slot.seed(context)),
        "classes": list(data.names),
        "labelled": stream["labelled"],
        "views": views if slot.method.steps else ["none"],
    }
    if feed.get("batch"):
        spec["batch"] = feed["batch"]
    if feed.get("sampler"):
        spec["sampler"] = {key: value for key, value in feed.items() if key != "batch"}
    return spec


def described(context: Context, slot: Slot) -> Iterator[str]:
    """One text per stream, such as `usps 7,291` or `mnist 60,000 no label`."""
    for name, side in slot.sides.items():
        stream, data = slot.method.streams[name], slot.data(context, side)
        rows = data.rows(stream["part"], labelled=stream["labelled"], seed=slot.seed(context))
        yield f"{data.title} {len(rows.index):,}" + ("" if stream["labelled"] else " no label")
