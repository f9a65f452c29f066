"""Explains the answers of a finished net, one input after the other, and writes the drawings. explain/ owns the methods
that compute a reason."""

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
    """One input by its name, with its answer, or with an `error` if it cannot be read; `drawings`: files by class."""

    name: str
    answer: "Answer | None"
    error: str = ""
    drawings: dict[str, Path] | None = None


def explain(run: Results, inputs: Sequence[str], by: str, options: Options) -> list[Explanation]:
    """Explains every input by the method `by` ("": the default for the net) and writes the drawings into -o, else into
    explain/. An input that cannot be read keeps its place in the list, with an error. Raises ConfigError if a drawing
    would replace a file and -y is not given."""
    net = load_net(run, options, "explain")
    from transfer_cli.explain.explaining import Explaining

    explanations = list(_explained(Explaining(net, by), inputs))
    return _drawn(explanations, options.out or Path("explain"), replacing=options.yes)


def _explained(explaining: "Explaining", inputs: Sequence[str]) -> Iterator[Explanation]:
    for text in inputs:
        for name, row in _rows(explaining.predicting, text):
            try:
                yield Explanation(name, explaining.row(row))
            except DataError as error:
                yield Explanation(name, None, error.faults[0].text)


def _rows(net: "Predicting", text: str) -> list[tuple[str, Any]]:
    """Rows of a file or folder. For a net that reads texts, `text` is itself the input unless it ends like a table."""
    place = Path(text).expanduser()
    if net.kind.field == "text" and place.suffix.lower() not in TABLES:
        return [(text, text)]
    return net.at(place)


def _drawn(explanations: Sequence[Explanation], folder: Path, *, replacing: bool) -> list[Explanation]:
    """The explanations with the paths of their drawings, which are written. All paths are checked before the first
    drawing is written. Raises ConfigError if a file exists and `replacing` is False."""
    used: set[Path] = set()
    placed = []
    for one in explanations:
        reasons = [reason for reason in one.answer.reasons if reason.drawing] if one.answer else []
        drawings = {reason.label: _free_place(folder, one.name, reason, used) for reason in reasons}
        placed.append(replace(one, drawings=drawings))
    if not replacing and (there := sorted(path for path in used if path.exists())):
        more = f", and {len(there) - 1} more" if there[1:] else ""
        do = "-y replaces what is there, -o FOLDER draws elsewhere"
        raise ConfigError(Fault(str(there[0]), f"is there already{more}", do=do))
    for one in placed:
        for reason in one.answer.reasons if one.answer else ():
            if reason.drawing and one.drawings:
                _write(reason.drawing, one.drawings[reason.label])
    return placed


def _free_place(folder: Path, name: str, reason: "Reason", used: set[Path]) -> Path:
    """`explain/a2-stain.png`; a number is added if another input of the command has the same path. Adds the path to
    the set of used ones."""
    stem = f"{_part_of_name(Path(name).stem)}-{_part_of_name(reason.label)}"
    path, number = folder / f"{stem}.png", 2
    while path in used:
        path, number = folder / f"{stem}-{number}.png", number + 1
    used.add(path)
    return path


def _part_of_name(name: str) -> str:
    """A name from the data, made safe as a part of a file name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:60].lstrip(".") or "_"


def _write(drawing: Any, path: Path) -> None:
    stream = io.BytesIO()
    drawing.save(stream, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(Fault("-o", f"no folder: {error.strerror}", str(path.parent))) from error
    put(path, stream.getvalue(), durable=False)
