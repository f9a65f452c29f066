"""transfer doctor model=NAME: measures with which precision and memory layout a net is fastest on this machine."""

from statistics import median
from typing import Any

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan.precision import resolved
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.options import Options

SECONDS = 20.0  # the time for measuring training, and again for evaluation
Row = dict[str, Any]


def show_step_times(options: Options, screen: Screen) -> None:
    """Times the variants of the net that the words describe, and shows them with the recommended one."""
    from transfer_cli.config.compose import load
    from transfer_cli.engine.device import setup
    from transfer_cli.engine.settings import Runtime, Trainer

    values = load(options.words, config_dirs=options.config_dirs).values
    precision = resolved(values["model"]["precision"], values["runtime"]["device"])
    node = _sized(values["model"] | {"precision": precision}, options)
    trainer = Trainer(**{**values["trainer"], "steps": 10**6})
    device = setup(Runtime(**values["runtime"]))
    screen.note(f"random rows, {trainer.batch} at a time; about a minute")
    rows = _timed(node, trainer, device)
    take = next(row["words"] for row in rows if row["take"])
    now = next((row["words"] for row in rows if row["now"]), "")
    advice = f"take {take}" + (", as it is" if take == now else f"; now {now}")
    word = " ".join(word for word in options.words if not word.startswith(("model.precision", "model.channels_last")))
    notes = [advice, *_notes(trainer.batch)]
    extra = {"take": take}
    screen.show(
        Table(_columns(), rows, notes=notes, next=f"transfer run {word} {take}", schema="doctor_model/1", extra=extra)
    )


def _notes(batch: int) -> list[str]:
    return [
        f"ms of {batch} rows, minimum (median) of turns; by training, and where two are within 5 % the plainer",
        "bf16 may change results in the third digit: compare runs, not words",
    ]


def _columns() -> list[Column]:
    shown = [Column(name, head=name, align="right", only="screen") for name in ("train", "evaluate")]
    facts = [
        Column(f"{work}_{what}", "s", only="machine") for work in ("train", "evaluate") for what in ("min", "median")
    ]
    return [
        Column("words"),
        *shown,
        *facts,
        Column("rounds", "n", only="machine"),
        Column("state", head="", state=True, only="screen"),
        Column("take", only="machine"),
        Column("now", only="machine"),
    ]


def _sized(node: Row, options: Options) -> Row:
    """The model node with the size of its vocabulary. For a tokenizer that is learned from texts it is the largest
    allowed size. Raises ConfigError for vectors of unknown width."""
    from transfer_cli.data.tokenizers import LEARNED, SIZE, fitted

    spec = node["input"]
    if spec.get("width", 0) is None:
        raise ConfigError(Fault("model.input.width", "say how wide the vectors are", do="model.input.width=128"))
    if "tokenizer" not in spec:
        return node
    if spec["tokenizer"] in LEARNED and spec["tokenizer"] != "byte":
        return node | {"input": spec | {"size": spec["size"] or SIZE, "digest": ""}}
    return node | {"input": fitted(spec, list, "", options.runs / ".cache")}


def _timed(node: Row, trainer: Any, device: Any) -> list[Row]:
    from transfer_cli.engine.interleaved_timing import turns_within
    from transfer_cli.engine.timing import contestants, fastest, variants

    steps, looks = contestants(node, trainer, device)
    train, look = turns_within(steps, SECONDS), turns_within(looks, SECONDS)
    take = fastest((word, min(seconds)) for word, seconds in train.items())
    now = next(word for word, changed in variants(node).items() if _same(changed, node))
    return [
        {
            "words": word,
            "train": _ms(train[word]),
            "evaluate": _ms(look[word]),
            **_facts("train", train[word]),
            **_facts("evaluate", look[word]),
            "rounds": len(train[word]),
            "state": "ok take" if word == take else "",
            "take": word == take,
            "now": word == now,
        }
        for word in steps
    ]


def _same(changed: Row, node: Row) -> bool:
    return (changed["precision"], changed["channels_last"]) == (node["precision"], node["channels_last"])


def _facts(work: str, seconds: list[float]) -> Row:
    return {f"{work}_min": min(seconds), f"{work}_median": median(seconds)}


def _ms(seconds: list[float]) -> str:
    return f"{min(seconds) * 1e3:.1f} ({median(seconds) * 1e3:.1f})"
