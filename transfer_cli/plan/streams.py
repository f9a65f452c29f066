"""What the streams of a method read, as it stands in a key and as it is said to people."""

from collections.abc import Iterator

from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.slot import Slot


def streams_of(context: Context, slot: Slot) -> Json:
    """Each stream of the slot's method: whose rows, which part of them, in which views, how many a batch."""
    return {name: _stream(context, slot, name, side) for name, side in slot.sides.items()}


def _stream(context: Context, slot: Slot, name: str, side: str) -> Json:
    stream, data, feed = slot.method.streams[name], slot.data(context, side), slot.node["feeds"].get(name, {})
    views = [data.augment if view == "train" else view for view in stream["views"]]
    found: Json = {
        "side": side,
        "part": stream["part"],
        "data": data.key(stream["part"], labelled=stream["labelled"], seed=slot.seed(context)),
        "classes": list(data.names),
        "labelled": stream["labelled"],
        "views": views if slot.method.steps else ["none"],
    }
    if feed.get("batch"):
        found["batch"] = feed["batch"]
    if feed.get("sampler"):
        found["sampler"] = {key: value for key, value in feed.items() if key != "batch"}
    return found


def described(context: Context, slot: Slot) -> Iterator[str]:
    """`usps 7,291`, `mnist 60,000 no label`: a text a stream."""
    for name, side in slot.sides.items():
        stream, data = slot.method.streams[name], slot.data(context, side)
        rows = data.rows(stream["part"], labelled=stream["labelled"], seed=slot.seed(context))
        yield f"{data.title} {len(rows.index):,}" + ("" if stream["labelled"] else " no label")
