"""Reasons of a finished net for its answers, one input after the other, and the files of their drawings. What a reason
is and how it is computed belongs to explain/."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.errors import ConfigError, DataError, Fault, StoreError
from transfer_cli.runner.loaded import Results, load_net
from transfer_cli.runner.options import Options
from transfer_cli.store.disk import put

if TYPE_CHECKING:
    from transfer_cli.engine.predict import Predicting
    from transfer_cli.explain.explaining import Answer, Explaining, Reason

TABLES = (".txt", ".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Explanation:
    """One input by its name, with its answer or what is wrong with it; `drawings` are files by class."""

    name: str
    answer: "Answer | None"
    error: str = ""
    drawings: dict[str, Path] | None = None


def explain(run: Results, inputs: Sequence[str], by: str, options: Options) -> list[Explanation]:
    """Explains every input by the method `by` ("": what suits the net) and writes the drawings into -o, else into
    explain/. An input that cannot be read keeps its place, with an error. Raises ConfigError where a drawing would
    replace a file."""
    net = load_net(run, options, "explain")
    from transfer_cli.explain.explaining import Explaining

    found = list(_explained(Explaining(net, by), inputs))
    return _drawn(found, options.out or Path("explain"), replacing=options.yes)


def _explained(explaining: "Explaining", inputs: Sequence[str]) -> Iterator[Explanation]:
    for text in inputs:
        for name, row in _rows(explaining.predicting, text):
            try:
                yield Explanation(name, explaining.row(row))
            except DataError as error:
                yield Explanation(name, None, error.faults[0].text)


def _rows(net: "Predicting", text: str) -> list[tuple[str, Any]]:
    """Rows of a file or folder; for a net of texts, anything that is not named like a table is a text itself."""
    place = Path(text).expanduser()
    if net.kind.field == "text" and place.suffix.lower() not in TABLES:
        return [(text, text)]
    return net.at(place)


def _drawn(found: Sequence[Explanation], folder: Path, *, replacing: bool) -> list[Explanation]:
    """Writes the drawings; all places are checked before the first is written."""
    taken: set[Path] = set()
    placed = []
    for one in found:
        reasons = [reason for reason in one.answer.reasons if reason.drawing] if one.answer else []
        drawings = {reason.label: _free_place(folder, one.name, reason, taken) for reason in reasons}
        placed.append(replace(one, drawings=drawings))
    if not replacing and (there := sorted(path for path in taken if path.exists())):
        more = f", and {len(there) - 1} more" if there[1:] else ""
        do = "-y replaces what is there, -o FOLDER draws elsewhere"
        raise ConfigError(Fault(str(there[0]), f"is there already{more}", do=do))
    for one in placed:
        for reason in one.answer.reasons if one.answer else ():
            if reason.drawing and one.drawings:
                _write(reason.drawing, one.drawings[reason.label])
    return placed


def _free_place(folder: Path, name: str, reason: "Reason", taken: set[Path]) -> Path:
    """explain/a2-stain.png, with a number where two inputs of a command would have the same."""
    stem = f"{_part_of_name(Path(name).stem)}-{_part_of_name(reason.label)}"
    path, number = folder / f"{stem}.png", 2
    while path in taken:
        path, number = folder / f"{stem}-{number}.png", number + 1
    taken.add(path)
    return path


def _part_of_name(name: str) -> str:
    """A name from the data as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:60].lstrip(".") or "_"


def _write(drawing: Any, path: Path) -> None:
    stream = io.BytesIO()
    drawing.save(stream, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(Fault("-o", f"no folder: {error.strerror}", str(path.parent))) from error
    put(path, stream.getvalue(), durable=False)
