"""transfer predict RUN PATH: class and probabilities of a picture, a folder or a CSV, or of a file's texts or rows of
numbers, by the net of a finished run. With --features: what features.py does."""

import csv
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_cli.cli.options import Options
from transfer_cli.data.formats.decode import SUFFIXES
from transfer_cli.data.readers.features import matrix_of
from transfer_cli.data.readers.text import read_text
from transfer_cli.data.readers.text_table import texts_of
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.report.tables import Column, Table
from transfer_cli.rundir.runs import UNREADABLE
from transfer_cli.runner.run_selection import chosen
from transfer_cli.runner.single_run import quiet_threads
from transfer_cli.safe import safe
from transfer_cli.store.store import Damaged, Store

NOUNS = {"pictures": "file", "texts": "text", "vectors": "row"}


def main(options: Options) -> int:
    """Writes a row a file, in order. Files that cannot be read keep their row, with an error; exit code 4 then."""
    if options.features:
        from transfer_cli.cli.features import export

        return export(options)
    run, place = _asked(options)
    screen = Screen.of(options)
    if options.format is None and not options.json and (options.out or not terminal(screen.out)):
        screen = replace(screen, format="csv")
    predicting = answering(run, options)
    rows = list(_predictions(predicting, place))
    screen.show(_table(rows, predicting.classes))
    bad = [row for row in rows if row["error"]]
    noun = NOUNS[predicting.reads]
    screen.note(f"{len(rows)} {noun}{'s' * (len(rows) != 1)}: {len(rows) - len(bad)} predicted, {len(bad)} unreadable")
    if bad:
        raise DataError(*(Fault(row["path"], row["error"]) for row in bad[:5]))
    return 0


def _asked(options: Options) -> tuple[dict[str, Any], Path]:
    """The run and the place of the files. Raises ConfigError (several runs, not finished)."""
    if not options.args:
        raise ConfigError(
            Fault("predict", "wants a picture, a folder, a CSV or texts", do="transfer predict last ./new")
        )
    words = tuple(word for word in options.words if not word.startswith("plugins="))
    run = finished(replace(options, args=options.args[:-1], words=words))
    return run, Path(options.args[-1]).expanduser()


def finished(options: Options) -> dict[str, Any]:
    """results.json of the one finished run that references and words mean, the last one without. Raises ConfigError."""
    found = chosen(options)
    if len(found) != 1:
        ids = ", ".join(run.id for run in found[-5:])
        raise ConfigError(
            Fault(
                " ".join([*options.args, *options.words]),
                f"means {len(found)} runs: {ids}; {options.command} takes one",
            )
        )
    run = found[0]
    if not run.is_done:
        name = safe(run.id)
        why = f"cannot be read: {run.fault}" if run.status == UNREADABLE else f"is not finished: {run.status}"
        raise ConfigError(Fault(f"run {name}", why, do=f"transfer resume {name}"))
    return dict(run.document)


def _predictions(predicting: Any, place: Path) -> Iterable[dict[str, Any]]:
    if predicting.reads == "texts":
        return predicting.texts(texts_at(place))  # type: ignore[no-any-return]
    if predicting.reads == "vectors":
        return predicting.vectors(place.name, matrix_of(place))  # type: ignore[no-any-return]
    return predicting.pictures(files_at(place))  # type: ignore[no-any-return]


def texts_at(place: Path) -> list[tuple[str, str]]:
    """A text a line of a .txt, or the column `text` of a .csv, .tsv or .jsonl, each by file and row. DataError if there
    are none."""
    if not place.is_file():
        raise DataError(
            Fault(str(place), "no such file", do="a .txt with a text a line, or a table with a column text")
        )
    if place.suffix == ".txt":
        lines = enumerate(read_text(place, "utf-8").splitlines(), 1)
        return [(f"{place.name} row {row}", line) for row, line in lines if line.strip()]
    return [(f"{place.name} row {line.row}", line.text) for line in texts_of(place)]


def files_at(place: Path) -> list[Path]:
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    elif place.suffix.lower() == ".csv" and place.is_file():
        paths = _listed(place)
    else:
        paths = [place] if place.is_file() else []
    if not place.exists():
        raise DataError(Fault(str(place), "no such file or folder"))
    if not paths:
        raise DataError(Fault(str(place), "no pictures there", do=f"pictures end in {', '.join(SUFFIXES)}"))
    return paths


def _listed(table: Path) -> list[Path]:
    """Column `path` of a CSV, relative to its folder."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "path" not in rows[0]:
        raise DataError(Fault(str(table), "has no rows with a column path"))
    return [table.parent / row["path"] for row in rows]


def answering(run: dict[str, Any], options: Options) -> Any:
    """`predicting_of` a run whose answers are classes. Raises ConfigError for a language model."""
    if (run["headline"] or {}).get("name", "").endswith("/bits_per_char"):
        text = f"its net predicts the next piece of a text, and {options.command} gives classes"
        do = f"transfer run weights={safe(run['id'])} data=TEXTS.csv makes a classifier of it"
        raise ConfigError(Fault(f"run {safe(run['id'])}", text, do=do))
    return predicting_of(run, options)


def predicting_of(run: dict[str, Any], options: Options) -> Any:
    """engine.predict.Predicting of a run: its net and what its evaluation scored it with. Raises ConfigError if it
    evaluated nothing, StoreError if its stages are damaged or gone."""
    quiet_threads()
    from transfer_cli.config.compose import load_stored
    from transfer_cli.data.open import describe_pair
    from transfer_cli.engine.predict import Predicting

    plugins = plugins_of(options.words)
    cache = options.runs / ".cache"
    last = run["stages"][-1]
    if last["name"] != "evaluate":
        raise ConfigError(Fault(f"run {safe(run['id'])}", "evaluated nothing, so its classes are not known"))
    values = load_stored(run["config"], plugins)
    store = Store(options.runs / ".store", create=False)
    target, seed = lambda: describe_pair(values, cache)[0], int(values["seed"])
    try:
        return Predicting(store, last["key"], cache, target, plugins=plugins, seed=seed)
    except Damaged as error:
        if store.state(error.key) != "absent":
            raise
        do = f"transfer run {shlex.join(run['words'])}   makes it again"
        raise StoreError(Fault(f"run {safe(run['id'])}", "its net is gone from the store", do=do)) from None


def plugins_of(words: Sequence[str]) -> tuple[str, ...]:
    """Packages named now: those of the stored configuration are not trusted."""
    named = [word.removeprefix("plugins=").strip("[]") for word in words if word.startswith("plugins=")]
    return tuple(name for text in named for name in text.split(",") if name)


def _table(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> Table:
    """A row a file: class and best probabilities for people, every probability for machines."""
    columns = [
        Column("path"),
        Column("class"),
        Column("likely", only="screen", head=""),
        *(Column(f"p_{name}", only="machine") for name in classes),
        Column("error"),
    ]
    return Table(columns, [_row(row, classes) for row in rows], schema="predict/1")


def _row(row: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    chances = dict(zip(classes, row["probabilities"], strict=False))
    best = sorted(chances.items(), key=lambda pair: -pair[1])[:3]
    shown = "   ".join(f"{name} {100 * chance:.0f} %" for name, chance in best)
    named = {f"p_{name}": chance for name, chance in chances.items()}
    return {"path": row["path"], "class": row["class"], "likely": shown, "error": row["error"], **named}
